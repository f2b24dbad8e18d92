# The dashboard: traffic, decisions, latencies, dead letters and models.

locals {
  # Rows of three graphs. A metric is a namespace, a name, dimensions and a statistic, in CloudWatch's notation.
  graphs = [
    { title = "Transactions and decisions", stat = "Sum", metrics = [
      ["AWS/Kinesis", "IncomingRecords", "StreamName", "${local.prefix}-transactions"],
      ["AWS/Kinesis", "IncomingRecords", "StreamName", "${local.prefix}-decisions"],
    ] },
    { title = "How far behind the stream is (ms)", stat = "Maximum", metrics = [
      ["AWS/Lambda", "IteratorAge", "FunctionName", "${local.prefix}-stream"],
    ] },
    { title = "Put aside", stat = "Maximum", metrics = [
      for queue in ["dead-letters", "abandoned", "unstarted"] :
      ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "${local.prefix}-${queue}"]
    ] },
    { title = "Functions: duration (ms, p99)", stat = "p99", metrics = [
      for function in ["stream", "score", "model"] : ["AWS/Lambda", "Duration", "FunctionName", "${local.prefix}-${function}"]
    ] },
    { title = "Functions: errors and throttles", stat = "Sum", metrics = [
      for pair in setproduct(["stream", "score", "model"], ["Errors", "Throttles"]) :
      ["AWS/Lambda", pair[1], "FunctionName", "${local.prefix}-${pair[0]}"]
    ] },
    { title = "Card states: throttled requests", stat = "Sum", metrics = [
      ["AWS/DynamoDB", "ReadThrottleEvents", "TableName", "${local.prefix}-cards"],
      ["AWS/DynamoDB", "WriteThrottleEvents", "TableName", "${local.prefix}-cards"],
    ] },
    { title = "Endpoint: latency (µs, p99)", stat = "p99", metrics = [
      for metric in ["ModelLatency", "OverheadLatency"] : concat(["AWS/SageMaker", metric], local.champion_labels)
    ] },
    { title = "Endpoint: invocations and errors", stat = "Sum", metrics = [
      for metric in ["Invocations", "Invocation4XXErrors", "Invocation5XXErrors"] :
      concat(["AWS/SageMaker", metric], local.champion_labels)
    ] },
    { title = "State machines", stat = "Sum", metrics = [
      for pair in setproduct(values(local.workflow_arns), ["ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut"]) :
      ["AWS/States", pair[1], "StateMachineArn", pair[0]]
    ] },
  ]

  champion_labels = ["EndpointName", local.endpoint_name, "VariantName", "champion"]
}

resource "aws_cloudwatch_dashboard" "cardwatch" {
  dashboard_name = local.prefix

  dashboard_body = jsonencode({
    widgets = [
      for place, graph in local.graphs : {
        type   = "metric"
        x      = 8 * (place % 3)
        y      = 6 * floor(place / 3)
        width  = 8
        height = 6
        properties = {
          title   = graph.title
          region  = var.region
          period  = 60
          stat    = graph.stat
          metrics = graph.metrics
        }
      }
    ]
  })
}
