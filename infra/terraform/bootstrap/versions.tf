# Resources that must exist before infra/terraform: the bucket of its state, the repositories of images and the bucket
# of the first model. Apply it once for each environment. If its own state file is lost, all can be imported by name.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # `terraform init` gets the path, one for each environment.
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
