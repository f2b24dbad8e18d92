# The backend of this environment's state. The bucket encrypts it with its own key; `encrypt` here would override that.
# The bucket's name contains the account ID and is given separately:
#   terraform init -backend-config=envs/sandbox/backend.hcl -backend-config=bucket=cardwatch-sandbox-state-ACCOUNT
key          = "cardwatch/sandbox.tfstate"
region       = "eu-central-1"
use_lockfile = true
