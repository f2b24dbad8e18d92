# Nobody works these queues off: people look into them, and each has an alarm for its first message.
#   dead-letters: records that nobody could read, with their bytes, the reason and where they came from.
#   abandoned:    batches that Lambda gave up after var.stream_give_up_seconds, by shard and sequence numbers, and calls
#                 that failed for good. The records themselves stay in the stream as long as it keeps them.
resource "aws_sqs_queue" "queues" {
  for_each = toset(["dead-letters", "abandoned"])

  name                              = "${local.prefix}-${each.key}"
  message_retention_seconds         = 1209600 # 14 days, the most that SQS keeps
  kms_master_key_id                 = aws_kms_key.data.arn
  kms_data_key_reuse_period_seconds = 3600
}

data "aws_iam_policy_document" "queues" {
  for_each = aws_sqs_queue.queues

  statement {
    sid       = "DenyWithoutTls"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [each.value.arn]

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

resource "aws_sqs_queue_policy" "queues" {
  for_each = aws_sqs_queue.queues

  queue_url = each.value.url
  policy    = data.aws_iam_policy_document.queues[each.key].json
}
