# Two keys, one for data about cards and one for logs, so that access to logs does not give access to card data.

data "aws_iam_policy_document" "key_data" {
  source_policy_documents = [data.aws_iam_policy_document.key_owner.json]

  # Services that publish to the encrypted topic of alarms.
  statement {
    sid       = "ServicesTellOfAlarms"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = local.this_key

    principals {
      type        = "Service"
      identifiers = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }

  statement {
    sid       = "EventBridgeKeepsAnEncryptedBus"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"]
    resources = local.this_key

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

data "aws_iam_policy_document" "key_logs" {
  source_policy_documents = [data.aws_iam_policy_document.key_owner.json]

  statement {
    sid       = "CloudWatchEncryptsLogs"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    resources = local.this_key

    principals {
      type        = "Service"
      identifiers = ["logs.${var.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["${local.arn_of.logs}:log-group:*"]
    }
  }
}

# The account's IAM policies decide which other principals may use or manage a key.
data "aws_iam_policy_document" "key_owner" {
  statement {
    sid       = "AccountsOwnPoliciesDecide"
    actions   = ["kms:*"]
    resources = local.this_key

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account_id}:root"]
    }
  }
}

locals {
  # A key's policy applies to that key only, whose ARN is unknown before the key is created.
  this_key = ["${local.arn_of.kms}:key/*"]
}

resource "aws_kms_key" "data" {
  description             = "${local.prefix}: transactions, decisions, card states, models, queues"
  enable_key_rotation     = true
  deletion_window_in_days = var.key_deletion_days
  policy                  = data.aws_iam_policy_document.key_data.json
}

resource "aws_kms_alias" "data" {
  name          = "alias/${local.prefix}-data"
  target_key_id = aws_kms_key.data.id
}

resource "aws_kms_key" "logs" {
  description             = "${local.prefix}: log groups"
  enable_key_rotation     = true
  deletion_window_in_days = var.key_deletion_days
  policy                  = data.aws_iam_policy_document.key_logs.json
}

resource "aws_kms_alias" "logs" {
  name          = "alias/${local.prefix}-logs"
  target_key_id = aws_kms_key.logs.id
}
