# MSK Serverless in place of the stream of transactions: for a bank that has Kafka already. Its topic is made by a
# client, `transactions` with as many partitions as the stream worker may run at once, because MSK makes none by itself.

locals {
  transactions_topic = "transactions"

  # What the ARNs of a cluster's topics and groups begin with is the cluster's own, with another word in it.
  msk_arns = {
    for arn in aws_msk_serverless_cluster.transactions[*].arn : "transactions" => {
      cluster = arn
      topic   = "${replace(arn, ":cluster/", ":topic/")}/${local.transactions_topic}"
      group   = "${replace(arn, ":cluster/", ":group/")}/${local.stream_name}"
    }
  }

  # What producers and the stream worker may do, one entry per kind of resource.
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

# The brokers are in the group of the workloads, and so are Lambda's pollers, which take the cluster's group.
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
