# One key for state and images. The account's IAM policies decide which principals may use it.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  prefix     = "${var.name}-${var.environment}"
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
}

data "aws_iam_policy_document" "key" {
  statement {
    sid       = "AccountsOwnPoliciesDecide"
    actions   = ["kms:*"]
    resources = ["arn:${local.partition}:kms:${var.region}:${local.account_id}:key/*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account_id}:root"]
    }
  }
}

resource "aws_kms_key" "bootstrap" {
  description             = "${local.prefix}: Terraform's state, images"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "bootstrap" {
  name          = "alias/${local.prefix}-bootstrap"
  target_key_id = aws_kms_key.bootstrap.id
}
