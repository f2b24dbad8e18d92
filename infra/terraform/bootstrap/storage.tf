# Two buckets: Terraform's state, with its lock beside it as a file of S3's own; and models from outside of the
# pipeline, such as the first, which SageMaker wants to see before infra/terraform makes the endpoint.

locals {
  buckets = {
    state    = aws_s3_bucket.state
    releases = aws_s3_bucket.releases
  }

  # SageMaker's role, made later, reads releases: S3's own key in KMS needs no leave of ours for it.
  keys = {
    state    = aws_kms_key.bootstrap.arn
    releases = null
  }
}

resource "aws_s3_bucket" "state" {
  bucket        = "${local.prefix}-state-${local.account_id}"
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket" "releases" {
  bucket        = "${local.prefix}-releases-${local.account_id}"
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket_versioning" "buckets" {
  for_each = local.buckets

  bucket = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "buckets" {
  for_each = local.buckets

  bucket = each.value.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = local.keys[each.key]
    }
  }
}

resource "aws_s3_bucket_public_access_block" "buckets" {
  for_each = local.buckets

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "buckets" {
  for_each = local.buckets

  bucket = each.value.id

  rule {
    id     = "forget-old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.old_version_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.buckets]
}

data "aws_iam_policy_document" "tls_only" {
  for_each = local.buckets

  statement {
    sid       = "DenyWithoutTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "buckets" {
  for_each = local.buckets

  bucket = each.value.id
  policy = data.aws_iam_policy_document.tls_only[each.key].json

  depends_on = [aws_s3_bucket_public_access_block.buckets]
}

resource "aws_s3_bucket_logging" "buckets" {
  for_each = { for name, bucket in local.buckets : name => bucket if var.access_log_bucket != "" }

  bucket        = each.value.id
  target_bucket = var.access_log_bucket
  target_prefix = "${each.value.bucket}/"
}

# Every deletion becomes an event on the account's default bus: whoever wants to be told adds a rule there.
resource "aws_s3_bucket_notification" "buckets" {
  for_each = local.buckets

  bucket      = each.value.id
  eventbridge = true
}
