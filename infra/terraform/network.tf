# A network without internet access: workloads reach AWS through endpoints only.

resource "aws_vpc" "main" {
  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = local.prefix }
}

resource "aws_subnet" "private" {
  count = length(local.zones)

  vpc_id            = aws_vpc.main.id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, count.index)

  tags = { Name = "${local.prefix}-private-${local.zones[count.index]}" }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.main.id

  tags = { Name = "${local.prefix}-private" }
}

resource "aws_route_table_association" "private" {
  count = length(local.zones)

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

# --- Security groups ----------------------------------------------------------------------------------------------

# The default group has no rules: a workload without a security group has no network access.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.main.id

  tags = { Name = "${local.prefix}-closed" }
}

resource "aws_security_group" "workloads" {
  name        = "${local.prefix}-workloads"
  description = "Functions and jobs"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${local.prefix}-workloads" }
}

resource "aws_security_group" "endpoints" {
  name        = "${local.prefix}-endpoints"
  description = "Interface endpoints of AWS services"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${local.prefix}-endpoints" }
}

resource "aws_vpc_security_group_egress_rule" "workloads_to_endpoints" {
  security_group_id            = aws_security_group.workloads.id
  description                  = "AWS services, through interface endpoints"
  referenced_security_group_id = aws_security_group.endpoints.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_workloads" {
  security_group_id            = aws_security_group.endpoints.id
  description                  = "Functions and jobs"
  referenced_security_group_id = aws_security_group.workloads.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "workloads_to_gateways" {
  for_each = aws_vpc_endpoint.gateway

  security_group_id = aws_security_group.workloads.id
  description       = "${each.key}, through its gateway endpoint"
  prefix_list_id    = each.value.prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# --- Endpoints ----------------------------------------------------------------------------------------------------

# These gateways allow access only to this account's buckets and to our table.
data "aws_iam_policy_document" "gateway" {
  for_each = {
    s3       = { actions = ["s3:*"], resources = ["arn:${local.partition}:s3:::*"] }
    dynamodb = { actions = ["dynamodb:*"], resources = [aws_dynamodb_table.cards.arn] }
  }

  statement {
    sid       = "OwnAccountOnly"
    actions   = each.value.actions
    resources = each.value.resources

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_vpc_endpoint" "gateway" {
  for_each = data.aws_iam_policy_document.gateway

  vpc_id            = aws_vpc.main.id
  vpc_endpoint_type = "Gateway"
  service_name      = "com.amazonaws.${var.region}.${each.key}"
  route_table_ids   = [aws_route_table.private.id]
  policy            = each.value.json

  tags = { Name = "${local.prefix}-${each.key}" }
}

locals {
  # Lambda's pollers call lambda and sts from within the network to read from MSK, and the functions read the key of the
  # control share.
  interface_endpoints = setunion(
    var.interface_endpoints,
    local.on_msk ? ["lambda", "sts"] : [],
    length(local.control_key_secrets) > 0 ? ["secretsmanager"] : [],
  )
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interface_endpoints

  vpc_id              = aws_vpc.main.id
  vpc_endpoint_type   = "Interface"
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  subnet_ids          = slice(aws_subnet.private[*].id, 0, var.interface_endpoint_zones)
  security_group_ids  = [aws_security_group.endpoints.id]
  private_dns_enabled = true

  tags = { Name = "${local.prefix}-${each.key}" }
}

# --- Flow logs ----------------------------------------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "flow" {
  name              = "/aws/vpc/${local.prefix}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

data "aws_iam_policy_document" "flow" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.flow.arn}:*"]
  }
}

resource "aws_iam_role" "flow" {
  name               = "${local.prefix}-flow-logs"
  description        = "Flow logs of the network, into their log group"
  assume_role_policy = data.aws_iam_policy_document.service_trust["vpc-flow-logs"].json
}

resource "aws_iam_role_policy" "flow" {
  name   = "write-flow-logs"
  role   = aws_iam_role.flow.id
  policy = data.aws_iam_policy_document.flow.json
}

resource "aws_flow_log" "main" {
  vpc_id               = aws_vpc.main.id
  traffic_type         = "ALL"
  log_destination_type = "cloud-watch-logs"
  log_destination      = aws_cloudwatch_log_group.flow.arn
  iam_role_arn         = aws_iam_role.flow.arn

  tags = { Name = local.prefix }
}
