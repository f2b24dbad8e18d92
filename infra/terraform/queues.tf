# No program consumes these queues. An operator inspects them; each has an alarm for its first message.
#   dead-letters: unreadable records with their bytes, the reason and their origin.
#   abandoned:    batches that Lambda stopped retrying after var.stream_give_up_seconds, by shard and sequence numbers,
#                 and failed asynchronous calls. The records stay in the stream until its retention ends.
resource "aws_sqs_queue" "queues" {
  for_each = toset(["dead-letters", "abandoned"])

  name                              = "${local.prefix}-${each.key}"
  message_retention_seconds         = 1209600 # 14 days, the maximum of SQS
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
