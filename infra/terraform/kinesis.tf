# The stream of transactions, keyed by card, and the stream of decisions. With var.ingress = "msk" transactions come
# from a Kafka topic.

locals {
  on_msk = var.ingress == "msk"
}

resource "aws_kinesis_stream" "transactions" {
  count = local.on_msk ? 0 : 1

  name             = "${local.prefix}-transactions"
  shard_count      = var.transactions_shards == 0 ? null : var.transactions_shards
  retention_period = var.stream_retention_hours
  encryption_type  = "KMS"
  kms_key_id       = aws_kms_key.data.arn

  stream_mode_details {
    stream_mode = var.transactions_shards == 0 ? "ON_DEMAND" : "PROVISIONED"
  }
}

resource "aws_kinesis_stream" "decisions" {
  name             = "${local.prefix}-decisions"
  shard_count      = var.decisions_shards == 0 ? null : var.decisions_shards
  retention_period = var.stream_retention_hours
  encryption_type  = "KMS"
  kms_key_id       = aws_kms_key.data.arn

  stream_mode_details {
    stream_mode = var.decisions_shards == 0 ? "ON_DEMAND" : "PROVISIONED"
  }
}

# Attach it to clients that send transactions and labels and read decisions, such as `cardwatch aws send`.
data "aws_iam_policy_document" "stream_client" {
  dynamic "statement" {
    for_each = aws_kinesis_stream.transactions

    content {
      sid       = "SendTransactions"
      actions   = ["kinesis:DescribeStreamSummary", "kinesis:PutRecord", "kinesis:PutRecords"]
      resources = [statement.value.arn]
    }
  }

  dynamic "statement" {
    for_each = local.msk_client_rights

    content {
      sid       = statement.value.sid
      actions   = statement.value.producer
      resources = statement.value.resources
    }
  }

  statement {
    sid       = "ReadDecisions"
    actions   = ["kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"]
    resources = [aws_kinesis_stream.decisions.arn]
  }

  statement {
    sid       = "DeliverLabels"
    actions   = ["s3:PutObject"]
    resources = ["${module.data_bucket.arn}/labels/*"]
  }

  statement {
    sid       = "EncryptAndDecryptInTheseServices"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.data.arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["kinesis.${var.region}.amazonaws.com", "s3.${var.region}.amazonaws.com"]
    }
  }
}

resource "aws_iam_policy" "stream_client" {
  name        = "${local.prefix}-stream-client"
  description = "May send transactions and labels, and read decisions"
  policy      = data.aws_iam_policy_document.stream_client.json
}
