# One repository for each image. Tags are immutable, so that the tested build is the deployed one.

locals {
  repositories = toset(["lambda", "scoring", "archive", "monitor", "pipelines"])

  # Services that pull with their own permissions, for resources with these ARNs. SageMaker pulls with its role.
  pullers = {
    lambda    = { service = "lambda.amazonaws.com", source = "arn:${local.partition}:lambda:${var.region}:${local.account_id}:function:${local.prefix}-*" }
    pipelines = { service = "emr-serverless.amazonaws.com", source = "arn:${local.partition}:emr-serverless:${var.region}:${local.account_id}:/applications/*" }
  }
}

resource "aws_ecr_repository" "images" {
  for_each = local.repositories

  name                 = "${local.prefix}-${each.key}"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = !var.deletion_protection

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.bootstrap.arn
  }
}

resource "aws_ecr_lifecycle_policy" "images" {
  for_each = aws_ecr_repository.images

  repository = each.value.name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Parts of builds that never got a tag"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 7 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Builds older than the newest ${var.images_kept}"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = var.images_kept }
        action       = { type = "expire" }
      },
    ]
  })
}

data "aws_iam_policy_document" "pull" {
  for_each = local.pullers

  statement {
    sid     = "ServicePulls"
    actions = ["ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer"]

    principals {
      type        = "Service"
      identifiers = [each.value.service]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [each.value.source]
    }
  }
}

resource "aws_ecr_repository_policy" "pull" {
  for_each = local.pullers

  repository = aws_ecr_repository.images[each.key].name
  policy     = data.aws_iam_policy_document.pull[each.key].json
}
