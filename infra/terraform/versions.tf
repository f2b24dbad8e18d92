# One provider only, so that a plan needs no further download. Deployment packages are images, which need no archive
# provider, and names are derived from variables, which needs no random provider.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # Bucket, key and lock come from envs/<environment>/backend.hcl. infra/terraform/bootstrap creates the bucket.
  backend "s3" {}
}
