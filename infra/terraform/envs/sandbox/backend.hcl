# Where this environment's state lies. The bucket encrypts it by itself, with its own key, as long as nobody says
# `encrypt` here. Its name has the account's number in it and comes beside this file:
#   terraform init -backend-config=envs/sandbox/backend.hcl -backend-config=bucket=cardwatch-sandbox-state-ACCOUNT
key          = "cardwatch/sandbox.tfstate"
region       = "eu-central-1"
use_lockfile = true
