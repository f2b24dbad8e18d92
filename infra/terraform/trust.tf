# Trust policies of roles that an AWS service assumes, for resources of this account only.

data "aws_iam_policy_document" "service_trust" {
  for_each = toset(["emr-serverless", "events", "sagemaker", "scheduler", "vpc-flow-logs"])

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}
