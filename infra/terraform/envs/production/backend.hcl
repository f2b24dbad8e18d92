# Where this environment's state lies. The bucket encrypts it by itself, with its own key, as long as nobody says
# `encrypt` here. Its name has the account's number in it and comes beside this file:
#   terraform init -backend-config=envs/production/backend.hcl -backend-config=bucket=cardwatch-production-state-ACCOUNT
key          = "cardwatch/production.tfstate"
region       = "eu-central-1"
use_lockfile = true
