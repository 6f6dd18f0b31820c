# The API's body, stage and roles, by the real provider without an account.

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "dummy"
  secret_key                  = "dummy"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

variables {
  name             = "test"
  openapi_document = file("../crates/gateway/openapi.yaml")
  stream_name      = "readings"
  stream_arn       = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings"
  table_name       = "device-statistics"
  table_arn        = "arn:aws:dynamodb:eu-central-1:123456789012:table/device-statistics"
  kms_key_arn      = "arn:aws:kms:eu-central-1:123456789012:key/test"
  consumers        = ["arn:aws:lambda:eu-central-1:123456789012:event-source-mapping:1"]
}

run "body" {
  command = plan

  module {
    source = "./modules/ingest"
  }

  assert {
    condition = toset(flatten([for path, item in output.body.paths : [for method, operation in item : "${method} ${path}"]])) == toset([
      "post /data", "post /data/series", "post /data/batch", "get /", "get /health",
    ])
    error_message = "The API must have the operations that exist on AWS and no others."
  }

  assert {
    condition = alltrue(flatten([
      for path, item in output.body.paths : [
        for method, operation in item : jsonencode(operation.security) == (path == "/health" ? "[]" : jsonencode([{ ApiKey = [] }]))
      ]
    ]))
    error_message = "Everything but /health must need the key."
  }

  assert {
    condition = (
      jsonencode(output.body.components.securitySchemes) == jsonencode({ ApiKey = { type = "apiKey", in = "header", name = "x-api-key" } })
      && output.body["x-amazon-apigateway-api-key-source"] == "HEADER"
    )
    error_message = "The key must be the header x-api-key."
  }

  assert {
    condition = alltrue(flatten([
      for path, item in output.body.paths : [for method, operation in item : operation["x-amazon-apigateway-request-validator"] == "all"]
    ])) && jsonencode(output.body["x-amazon-apigateway-request-validators"].all) == jsonencode({ validateRequestBody = true, validateRequestParameters = true })
    error_message = "Bodies and parameters of every operation must be validated."
  }

  assert {
    condition = {
      for path, item in output.body.paths : path => item.post.requestBody.content["application/json"].schema["$ref"] if can(item.post)
      } == {
      "/data"        = "#/components/schemas/Reading"
      "/data/series" = "#/components/schemas/Series"
      "/data/batch"  = "#/components/schemas/Batch"
    }
    error_message = "Every post must have its model."
  }

  assert {
    condition     = toset(keys(output.body.components.schemas)) == toset(["Reading", "Series", "SeriesReading", "Batch"])
    error_message = "The models of requests, and no others, must be imported."
  }

  assert {
    condition     = jsonencode(output.body.components.schemas) == jsonencode({ for name in ["Reading", "Series", "SeriesReading", "Batch"] : name => yamldecode(var.openapi_document).components.schemas[name] })
    error_message = "Models must be the contract's, unchanged."
  }

  # What API Gateway's models do not know would be dropped, or refuse the import.
  assert {
    condition = !anytrue([
      for keyword in ["nullable", "oneOf", "anyOf", "allOf", "discriminator", "additionalProperties", "exclusiveMinimum", "exclusiveMaximum", "readOnly", "x-streamgauge", "*/"] :
      strcontains(jsonencode(output.body.components.schemas), keyword)
    ])
    error_message = "Models must keep to what API Gateway imports."
  }

  assert {
    condition     = jsonencode(output.body.paths["/"].get.parameters) == jsonencode([{ in = "query", name = "device_id", required = true, schema = { type = "string" } }])
    error_message = "GET / must need device_id."
  }
}

run "integrations" {
  command = plan

  module {
    source = "./modules/ingest"
  }

  assert {
    condition = {
      for path, item in output.body.paths : path => values(item)[0]["x-amazon-apigateway-integration"].uri if path != "/health"
      } == {
      "/data"        = "arn:aws:apigateway:eu-central-1:kinesis:action/PutRecord"
      "/data/series" = "arn:aws:apigateway:eu-central-1:kinesis:action/PutRecord"
      "/data/batch"  = "arn:aws:apigateway:eu-central-1:kinesis:action/PutRecords"
      "/"            = "arn:aws:apigateway:eu-central-1:dynamodb:action/GetItem"
    }
    error_message = "Every operation must call its action."
  }

  assert {
    condition = alltrue([
      for path, item in output.body.paths : values(item)[0]["x-amazon-apigateway-integration"].passthroughBehavior == "never"
    ])
    error_message = "A body of another type must be 415, never the service's own request."
  }

  assert {
    condition = alltrue([
      for path, item in output.body.paths : keys(values(item)[0]["x-amazon-apigateway-integration"].requestTemplates) == ["application/json"]
    ])
    error_message = "JSON alone must be taken."
  }

  # What the service answers other than 200 is mapped to 503 first, so that what no template knows never becomes 200.
  assert {
    condition = alltrue([
      for path, item in output.body.paths : {
        for pattern, response in values(item)[0]["x-amazon-apigateway-integration"].responses : pattern => response.statusCode
      } == { "200" = "200", default = "503" } if path != "/health"
    ])
    error_message = "Only a service's 200 may become 200."
  }

  # The import fails where an integration answers what its operation does not have.
  assert {
    condition = alltrue(flatten([
      for path, item in output.body.paths : [
        for response in values(values(item)[0]["x-amazon-apigateway-integration"].responses) : contains(keys(values(item)[0].responses), response.statusCode)
      ]
    ]))
    error_message = "An integration may answer with its operation's statuses alone."
  }

  assert {
    condition = (
      output.body.paths["/health"].get["x-amazon-apigateway-integration"].type == "mock"
      && jsondecode(output.body.paths["/health"].get["x-amazon-apigateway-integration"].responses.default.responseTemplates["application/json"]) == { status = "ok" }
    )
    error_message = "/health must answer by itself."
  }

  assert {
    condition = alltrue([
      for path in ["/data", "/data/series", "/data/batch"] :
      output.body.paths[path].post["x-amazon-apigateway-integration"].responses.default.responseTemplates["application/json"] == file("modules/ingest/templates/put-refused.vtl")
      && output.body.paths[path].post["x-amazon-apigateway-integration"].requestParameters["integration.request.header.Content-Type"] == "'application/x-amz-json-1.1'"
    ])
    error_message = "Refused posts must be told apart by their type."
  }

  assert {
    condition = {
      for path, item in output.body.paths : path => values(item)[0]["x-amazon-apigateway-integration"].requestTemplates["application/json"]
      } == {
      "/data"        = file("modules/ingest/templates/put-record-of-reading.vtl")
      "/data/series" = file("modules/ingest/templates/put-record-of-series.vtl")
      "/data/batch"  = file("modules/ingest/templates/put-records-of-batch.vtl")
      "/"            = file("modules/ingest/templates/get-item.vtl")
      "/health"      = file("modules/ingest/templates/health-request.vtl")
    }
    error_message = "Every operation must have its request template."
  }
}

run "gateway_responses" {
  command = plan

  module {
    source = "./modules/ingest"
  }

  assert {
    condition     = output.body["x-amazon-apigateway-gateway-responses"].BAD_REQUEST_BODY.responseTemplates["application/json"] == "{\"message\":\"$context.error.validationErrorString\"}"
    error_message = "A refused body must be told what was wrong."
  }

  assert {
    condition = {
      for type, response in output.body["x-amazon-apigateway-gateway-responses"] : type => tonumber(response.statusCode) if can(response.statusCode)
      } == {
      BAD_REQUEST_BODY             = 400
      BAD_REQUEST_PARAMETERS       = 400
      INVALID_API_KEY              = 403
      MISSING_AUTHENTICATION_TOKEN = 404
      REQUEST_TOO_LARGE            = 413
      UNSUPPORTED_MEDIA_TYPE       = 415
      THROTTLED                    = 429
      QUOTA_EXCEEDED               = 429
      DEFAULT_5XX                  = 503
      INTEGRATION_FAILURE          = 503
      INTEGRATION_TIMEOUT          = 503
    }
    error_message = "What API Gateway answers by itself must have the contract's statuses."
  }

  assert {
    condition = alltrue([
      for type, response in output.body["x-amazon-apigateway-gateway-responses"] :
      can(response.responseParameters["gatewayresponse.header.Retry-After"]) if contains([429, 503], try(tonumber(response.statusCode), 0))
    ])
    error_message = "429 and 503 must say when to try again."
  }

  assert {
    condition = alltrue([
      for type, response in output.body["x-amazon-apigateway-gateway-responses"] :
      startswith(response.responseTemplates["application/json"], "{\"message\":")
    ])
    error_message = "Every error must be a message."
  }
}

run "stage" {
  command = plan

  module {
    source = "./modules/ingest"
  }

  assert {
    condition     = aws_api_gateway_method_settings.all.method_path == "*/*" && aws_api_gateway_method_settings.all.settings[0].throttling_rate_limit == 1000 && aws_api_gateway_method_settings.all.settings[0].throttling_burst_limit == 2000
    error_message = "Every method must be throttled."
  }

  assert {
    condition     = aws_api_gateway_method_settings.all.settings[0].logging_level == "OFF" && !aws_api_gateway_method_settings.all.settings[0].data_trace_enabled
    error_message = "Bodies and headers must not be logged."
  }

  # The id alone; `$context.identity.apiKey` is the key itself.
  assert {
    condition     = !can(regex("apiKey[^I]|header|querystring|[.]path\\b|body", aws_api_gateway_stage.this.access_log_settings[0].format))
    error_message = "The access log must hold no key and nothing that was sent."
  }

  assert {
    condition     = jsondecode(aws_api_gateway_stage.this.access_log_settings[0].format).request_id == "$context.requestId"
    error_message = "The access log must name the request."
  }

  assert {
    condition     = aws_api_gateway_stage.this.xray_tracing_enabled
    error_message = "Requests must be traced."
  }

  assert {
    condition     = aws_api_gateway_stage.this.variables == tomap({ stream_name = "readings", table_name = "device-statistics" })
    error_message = "The templates' names must be set."
  }

  assert {
    condition     = aws_cloudwatch_log_group.access.kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.access.retention_in_days == 90
    error_message = "The access log must be encrypted, and kept for 90 days."
  }

  assert {
    condition     = aws_api_gateway_usage_plan.this.throttle_settings[0].rate_limit == 1000 && aws_api_gateway_usage_plan.this.throttle_settings[0].burst_limit == 2000 && length(aws_api_gateway_usage_plan.this.quota_settings) == 0
    error_message = "The usage plan must throttle each key, without a quota by default."
  }

  assert {
    condition     = keys(aws_api_gateway_api_key.this) == ["default"] && keys(aws_api_gateway_usage_plan_key.this) == ["default"]
    error_message = "There must be a key, in the usage plan."
  }

  assert {
    condition     = aws_api_gateway_rest_api.this.disable_execute_api_endpoint == false && length(aws_api_gateway_domain_name.this) == 0 && length(aws_wafv2_web_acl_association.this) == 0
    error_message = "Domain name and WAF must be asked for."
  }

  assert {
    condition     = length(aws_api_gateway_account.this) == 1
    error_message = "The account must have a role by which API Gateway writes logs."
  }
}

run "options" {
  command = plan

  module {
    source = "./modules/ingest"
  }

  variables {
    domain_name                 = "readings.example.com"
    certificate_arn             = "arn:aws:acm:eu-central-1:123456789012:certificate/test"
    web_acl_arn                 = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/test/1"
    quota_posts_per_month       = 1000000
    manage_account_logging_role = false
  }

  assert {
    condition     = aws_api_gateway_domain_name.this[0].security_policy == "TLS_1_2"
    error_message = "The domain must refuse old TLS."
  }

  assert {
    condition     = aws_api_gateway_rest_api.this.disable_execute_api_endpoint
    error_message = "Beside a domain name, the API's own address must be off: a WAF rule or a certificate could be passed by."
  }

  assert {
    condition     = aws_wafv2_web_acl_association.this[0].web_acl_arn == var.web_acl_arn
    error_message = "The web ACL must stand before the stage."
  }

  assert {
    condition     = aws_api_gateway_usage_plan.this.quota_settings[0].limit == 1000000
    error_message = "The quota must be the one asked for."
  }

  assert {
    condition     = length(aws_api_gateway_account.this) == 0
    error_message = "An account's own role must be left alone."
  }

  assert {
    condition     = output.url == "https://readings.example.com"
    error_message = "The address must be the domain's."
  }
}

run "permissions" {
  command = plan

  module {
    source = "./modules/ingest"
  }

  assert {
    condition = jsonencode({ for name, policy in output.policies_json : name => [for statement in jsondecode(policy).Statement : [statement.Action, statement.Resource]] }) == jsonencode({
      put_record  = [["kinesis:PutRecord", var.stream_arn], ["kms:GenerateDataKey", var.kms_key_arn]]
      put_records = [["kinesis:PutRecords", var.stream_arn], ["kms:GenerateDataKey", var.kms_key_arn]]
      get_item    = [["dynamodb:GetItem", var.table_arn], ["kms:Decrypt", var.kms_key_arn]]
    })
    error_message = "Every integration may do its one action, and nothing else."
  }

  assert {
    condition = {
      for name, policy in output.policies_json : name => jsondecode(policy).Statement[1].Condition.StringEquals["kms:ViaService"]
      } == {
      put_record  = "kinesis.eu-central-1.amazonaws.com"
      put_records = "kinesis.eu-central-1.amazonaws.com"
      get_item    = "dynamodb.eu-central-1.amazonaws.com"
    }
    error_message = "The key may be used through the service alone."
  }

  assert {
    condition     = jsondecode(data.aws_iam_policy_document.trust.json).Statement[0].Principal == { Service = "apigateway.amazonaws.com" }
    error_message = "API Gateway alone may take the roles."
  }
}
