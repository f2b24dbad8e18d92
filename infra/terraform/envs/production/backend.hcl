# The backend of this environment's state. The bucket encrypts it with its own key; `encrypt` here would override that.
# The bucket's name contains the account ID and is given separately:
#   terraform init -backend-config=envs/production/backend.hcl -backend-config=bucket=cardwatch-production-state-ACCOUNT
key          = "cardwatch/production.tfstate"
region       = "eu-central-1"
use_lockfile = true
