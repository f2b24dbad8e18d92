# MSK Serverless instead of the stream of transactions, for a bank that already has Kafka. A client must create the
# topic `transactions`, with as many partitions as stream workers may run concurrently: MSK does not create topics.

locals {
  transactions_topic = "transactions"

  # ARNs of a cluster's topics and groups are those of the cluster with another resource type.
  msk_arns = {
    for arn in aws_msk_serverless_cluster.transactions[*].arn : "transactions" => {
      cluster = arn
      topic   = "${replace(arn, ":cluster/", ":topic/")}/${local.transactions_topic}"
      group   = "${replace(arn, ":cluster/", ":group/")}/${local.stream_name}"
    }
  }

  # Permissions of producers and of the stream worker, by kind of resource.
  msk_client_rights = flatten([
    for arns in values(local.msk_arns) : [
      {
        sid       = "ConnectToTheCluster"
        resources = [arns.cluster]
        producer  = ["kafka-cluster:Connect", "kafka-cluster:DescribeCluster", "kafka-cluster:WriteDataIdempotently"]
        consumer  = ["kafka-cluster:Connect", "kafka-cluster:DescribeClusterDynamicConfiguration", "kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"]
      },
      {
        sid       = "UseTheTopic"
        resources = [arns.topic]
        producer  = ["kafka-cluster:CreateTopic", "kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"]
        consumer  = ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"]
      },
    ]
  ])
}

# The brokers have the security group of the workloads. Lambda's pollers use the cluster's security group.
resource "aws_vpc_security_group_ingress_rule" "brokers" {
  count = local.on_msk ? 1 : 0

  security_group_id            = aws_security_group.workloads.id
  description                  = "Kafka with IAM"
  referenced_security_group_id = aws_security_group.workloads.id
  ip_protocol                  = "tcp"
  from_port                    = 9098
  to_port                      = 9098
}

resource "aws_vpc_security_group_egress_rule" "brokers" {
  count = local.on_msk ? 1 : 0

  security_group_id            = aws_security_group.workloads.id
  description                  = "Kafka with IAM"
  referenced_security_group_id = aws_security_group.workloads.id
  ip_protocol                  = "tcp"
  from_port                    = 9098
  to_port                      = 9098
}

resource "aws_msk_serverless_cluster" "transactions" {
  count = local.on_msk ? 1 : 0

  cluster_name = "${local.prefix}-transactions"

  vpc_config {
    subnet_ids         = aws_subnet.private[*].id
    security_group_ids = [aws_security_group.workloads.id]
  }

  client_authentication {
    sasl {
      iam {
        enabled = true
      }
    }
  }
}
