# AWS_ENDPOINT_URL in the environment selects another implementation of AWS, such as moto. Path-style URLs work on AWS
# as well, and an implementation at a single address needs them.
provider "aws" {
  region            = var.region
  s3_use_path_style = true

  default_tags {
    tags = local.tags
  }
}
