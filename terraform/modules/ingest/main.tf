# The front door: a REST API that puts readings straight into the stream and reads statistics straight from the table.

resource "aws_api_gateway_rest_api" "this" {
  name                         = var.name
  description                  = "Streamgauge: statistics of streamed readings"
  body                         = jsonencode(local.body)
  put_rest_api_mode            = "overwrite"
  fail_on_warnings             = false
  disable_execute_api_endpoint = var.domain_name != null

  endpoint_configuration {
    types = ["REGIONAL"]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_deployment" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id

  triggers = {
    body = sha256(jsonencode(local.body))
    # Nothing is let in before what reads it runs: Firehose starts at the end of the stream.
    consumers = join(" ", var.consumers)
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [
    aws_iam_role_policy.put_record,
    aws_iam_role_policy.put_records,
    aws_iam_role_policy.get_item,
  ]
}

resource "aws_api_gateway_stage" "this" {
  #checkov:skip=CKV_AWS_120: statistics must be what the table holds now, and posts are never cached
  #checkov:skip=CKV2_AWS_4: an execution log would hold readings and keys; the access log, which names neither, is on
  #checkov:skip=CKV2_AWS_51: a client certificate is shown to HTTP back ends; the only back ends here are AWS services, called by IAM role
  #checkov:skip=CKV2_AWS_77: the web ACL and its rules are the user's (web_acl_arn); no Java runs behind this API
  rest_api_id          = aws_api_gateway_rest_api.this.id
  deployment_id        = aws_api_gateway_deployment.this.id
  stage_name           = var.stage_name
  xray_tracing_enabled = true

  variables = {
    stream_name = var.stream_name
    table_name  = var.table_name
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn

    # The key's id, never the key; no query, no body.
    format = jsonencode({
      request_id          = "$context.requestId"
      time                = "$context.requestTimeEpoch"
      source_ip           = "$context.identity.sourceIp"
      api_key_id          = "$context.identity.apiKeyId"
      method              = "$context.httpMethod"
      resource            = "$context.resourcePath"
      status              = "$context.status"
      response_type       = "$context.error.responseType"
      response_latency_ms = "$context.responseLatency"
      integration_status  = "$context.integrationStatus"
      xray_trace_id       = "$context.xrayTraceId"
    })
  }

  depends_on = [aws_api_gateway_account.this]
}

resource "aws_api_gateway_method_settings" "all" {
  #checkov:skip=CKV_AWS_225: statistics must be what the table holds now, and posts are never cached
  rest_api_id = aws_api_gateway_rest_api.this.id
  stage_name  = aws_api_gateway_stage.this.stage_name
  method_path = "*/*"

  settings {
    metrics_enabled        = true
    throttling_rate_limit  = var.throttling_rate_limit
    throttling_burst_limit = var.throttling_burst_limit
    # Execution logs hold bodies and headers.
    logging_level      = "OFF"
    data_trace_enabled = false
  }
}

resource "aws_cloudwatch_log_group" "access" {
  #checkov:skip=CKV_AWS_338: how long logs are kept is the user's choice; they hold no readings and nothing that is needed for a year
  name              = "/aws/apigateway/${var.name}/access"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_api_gateway_api_key" "this" {
  for_each = var.api_key_names

  name = "${var.name}-${each.key}"
}

# Limits of a usage plan are best effort, and no access control.
resource "aws_api_gateway_usage_plan" "this" {
  name = var.name

  api_stages {
    api_id = aws_api_gateway_rest_api.this.id
    stage  = aws_api_gateway_stage.this.stage_name
  }

  throttle_settings {
    rate_limit  = var.throttling_rate_limit
    burst_limit = var.throttling_burst_limit
  }

  dynamic "quota_settings" {
    for_each = var.quota_posts_per_month[*]

    content {
      limit  = quota_settings.value
      period = "MONTH"
    }
  }
}

resource "aws_api_gateway_usage_plan_key" "this" {
  for_each = aws_api_gateway_api_key.this

  key_id        = each.value.id
  key_type      = "API_KEY"
  usage_plan_id = aws_api_gateway_usage_plan.this.id
}

resource "aws_wafv2_web_acl_association" "this" {
  count = var.web_acl_arn == null ? 0 : 1

  resource_arn = aws_api_gateway_stage.this.arn
  web_acl_arn  = var.web_acl_arn
}
