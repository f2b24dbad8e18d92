# One provider only: whoever may not download more can still plan this. Deployment packages are images, so nothing here
# needs an archive, and names are derived, so nothing needs a random number.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # Bucket, key and lock come from envs/<environment>/backend.hcl; infra/terraform/bootstrap makes the bucket.
  backend "s3" {}
}
