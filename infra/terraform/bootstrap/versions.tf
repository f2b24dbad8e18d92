# What must exist before infra/terraform: where its state lies, where images are pushed to, and where the first model is
# put. Apply it once for each environment. Its own state is a small file; lost, everything here can be imported by name.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # The path comes with `terraform init`, one for each environment.
  backend "local" {}
}

provider "aws" {
  region            = var.region
  s3_use_path_style = true

  default_tags {
    tags = {
      Project     = var.name
      Environment = var.environment
      ManagedBy   = "terraform"
    }
  }
}
