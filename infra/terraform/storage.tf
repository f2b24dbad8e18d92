# The data bucket, the bucket of its access logs, and copies of both in another region.

locals {
  access_log_prefix = "data-bucket/"

  # The destination buckets belong to the stack of the other region.
  replication = { role_prefix = local.prefix, account_id = local.account_id, decrypt_key_arn = aws_kms_key.data.arn }
}

module "data_bucket" {
  source = "./modules/bucket"

  name              = "${local.prefix}-data-${local.account_id}"
  force_destroy     = !var.deletion_protection
  kms_key_arn       = aws_kms_key.data.arn
  access_log_bucket = module.log_bucket.log_target_name
  access_log_prefix = local.access_log_prefix

  lifecycle_rules = concat(
    # Archived data is read often while it is young and rarely afterwards. It is kept for audits.
    [
      for prefix in ["archive", "decisions"] : {
        id          = "cool-${prefix}"
        prefix      = "${prefix}/"
        transitions = { STANDARD_IA = 90, GLACIER_IR = 365 }
      }
    ],
    [{ id = "forget-captures", prefix = "capture/", expiration_days = var.capture_days }],
  )

  cleanup     = { old_version_days = var.old_version_days }
  replication = merge(local.replication, { replicas = { for key, replica in var.replicas : key => replica if key == "data" } })
}

# S3 delivers access logs only to a bucket that it encrypts with its own key.
module "log_bucket" {
  source = "./modules/bucket"

  name             = "${local.prefix}-logs-${local.account_id}"
  force_destroy    = !var.deletion_protection
  sse_algorithm    = "AES256"
  policy_documents = [data.aws_iam_policy_document.access_logs.json]

  cleanup = {
    rule_id          = "forget-logs"
    old_version_days = var.old_version_days
    expiration_days  = var.log_retention_days
  }

  replication = merge(local.replication, { replicas = { for key, replica in var.replicas : key => replica if key == "logs" } })
}

data "aws_iam_policy_document" "access_logs" {
  statement {
    sid       = "S3DeliversAccessLogs"
    actions   = ["s3:PutObject"]
    resources = ["${module.log_bucket.arn}/${local.access_log_prefix}*"]

    principals {
      type        = "Service"
      identifiers = ["logging.s3.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [module.data_bucket.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}
