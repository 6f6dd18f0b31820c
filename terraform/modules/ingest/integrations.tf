# What each operation does. 200 is mapped by name and everything else by `default`, to 503: an answer that nobody thought
# of can never become 200. Templates lower 503 to what it was.

locals {
  template = {
    for name in [
      "put-record-of-reading", "put-record-of-series", "put-records-of-batch", "accepted", "batch-accepted", "put-refused",
      "get-item", "statistics", "get-refused", "health-request", "health",
    ] : name => { "application/json" = file("${path.module}/templates/${name}.vtl") }
  }

  service_actions = {
    postData      = { action = "kinesis:action/PutRecord", role = aws_iam_role.put_record.arn, request = "put-record-of-reading", response = "accepted", refused = "put-refused" }
    postSeries    = { action = "kinesis:action/PutRecord", role = aws_iam_role.put_record.arn, request = "put-record-of-series", response = "accepted", refused = "put-refused" }
    postBatch     = { action = "kinesis:action/PutRecords", role = aws_iam_role.put_records.arn, request = "put-records-of-batch", response = "batch-accepted", refused = "put-refused" }
    getStatistics = { action = "dynamodb:action/GetItem", role = aws_iam_role.get_item.arn, request = "get-item", response = "statistics", refused = "get-refused" }
  }

  service_integrations = {
    for operation, service in local.service_actions : operation => {
      type        = "aws"
      httpMethod  = "POST"
      uri         = "arn:${data.aws_partition.current.partition}:apigateway:${data.aws_region.current.name}:${service.action}"
      credentials = service.role
      # A body of another type would skip the model and become the service's own request: 415 instead.
      passthroughBehavior = "never"
      requestTemplates    = local.template[service.request]
      requestParameters = {
        "integration.request.header.Content-Type" = startswith(service.action, "kinesis") ? "'application/x-amz-json-1.1'" : "'application/x-amz-json-1.0'"
      }
      responses = {
        "200"   = { statusCode = "200", responseTemplates = local.template[service.response] }
        default = { statusCode = "503", responseTemplates = local.template[service.refused] }
      }
    }
  }

  integrations = merge(local.service_integrations, {
    getHealth = {
      type                = "mock"
      passthroughBehavior = "never"
      requestTemplates    = local.template["health-request"]
      responses           = { default = { statusCode = "200", responseTemplates = local.template["health"] } }
    }
  })
}
