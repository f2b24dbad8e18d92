# Where the services are is the environment's business: AWS_ENDPOINT_URL alone points everything below at a stand-in.
# Path style changes nothing on AWS and is what a stand-in on one address needs.
provider "aws" {
  region            = var.region
  s3_use_path_style = true

  default_tags {
    tags = local.tags
  }
}
