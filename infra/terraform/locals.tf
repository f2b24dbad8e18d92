data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  prefix     = "${var.name}-${var.environment}"
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  zones      = [for letter in var.zones : "${var.region}${letter}"]

  # Prefixes "arn:aws:<service>:<region>:<account>" of the ARNs of resources that are created later.
  arn_of = {
    for service in ["cloudwatch", "ec2", "events", "kms", "lambda", "logs", "sagemaker", "states"] :
    service => "arn:${local.partition}:${service}:${var.region}:${local.account_id}"
  }

  tags = merge(
    {
      Project     = var.name
      Environment = var.environment
      ManagedBy   = "terraform"
    },
    var.tags,
  )

  # Images of the repositories of infra/terraform/bootstrap, unless var.images overrides them.
  registry = "${local.account_id}.dkr.ecr.${var.region}.${data.aws_partition.current.dns_suffix}"
  images = merge(
    {
      for part in ["lambda", "scoring", "archive", "monitor", "pipelines"] :
      part => "${local.registry}/${local.prefix}-${part}:${var.image_tag}"
    },
    var.images,
  )

  private_subnet_ids = aws_subnet.private[*].id

  endpoint_name = "${local.prefix}-scoring"
}
