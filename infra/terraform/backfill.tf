# The backfill on Spark, for histories that would take one machine days. It costs nothing until a job is submitted, and
# the application stops after 15 idle minutes.

resource "aws_emrserverless_application" "backfill" {
  name          = "${local.prefix}-backfill"
  type          = "spark"
  release_label = var.emr_release
  architecture  = "X86_64" # the compiled kernel gives the same bits only on the same architecture

  maximum_capacity {
    cpu    = "${var.backfill_capacity.cpus} vCPU"
    memory = "${var.backfill_capacity.memory_gb} GB"
    disk   = "${var.backfill_capacity.disk_gb} GB"
  }

  auto_start_configuration {
    enabled = true
  }

  auto_stop_configuration {
    enabled              = true
    idle_timeout_minutes = 15
  }

  network_configuration {
    subnet_ids         = local.private_subnet_ids
    security_group_ids = [aws_security_group.workloads.id]
  }
}

resource "aws_cloudwatch_log_group" "backfill" {
  name              = "/aws/emr-serverless/${local.prefix}-backfill"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

resource "aws_iam_role" "backfill" {
  name               = "${local.prefix}-backfill"
  description        = "Spark jobs of the backfill: read the archive, write feature rows."
  assume_role_policy = data.aws_iam_policy_document.service_trust["emr-serverless"].json
}

resource "aws_iam_role_policy" "backfill" {
  name   = "backfill"
  role   = aws_iam_role.backfill.id
  policy = data.aws_iam_policy_document.backfill.json
}

data "aws_iam_policy_document" "backfill" {
  statement {
    sid       = "Read" # training has the packed Python environment as well
    actions   = ["s3:GetObject"]
    resources = [for prefix in ["archive", "tables", "training"] : "${module.data_bucket.arn}/${prefix}/*"]
  }

  statement {
    sid       = "Write"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"]
    resources = ["${module.data_bucket.arn}/training/*"]
  }

  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [module.data_bucket.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = [for prefix in ["archive", "tables", "training"] : "${prefix}/*"]
    }
  }

  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.data.arn]
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.backfill.arn}:*"]
  }
}
