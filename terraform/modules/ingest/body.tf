# The API's body: the one OpenAPI document, less what exists on one machine only and what API Gateway's import does not
# take, plus the integrations.

data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  document = yamldecode(var.openapi_document)

  methods = ["delete", "get", "head", "options", "patch", "post", "put"]

  operations = merge([
    for path, item in local.document.paths : {
      for method, operation in item : "${method} ${path}" => { path = path, method = method, operation = operation }
      if contains(local.methods, method) && try(operation["x-streamgauge-availability"], "") != "one-machine"
    }
  ]...)

  # Answers are made by templates, so the import needs the models of requests alone. The others carry `nullable`, which
  # it does not know.
  request_models = ["Reading", "Series", "SeriesReading", "Batch"]

  imported_operations = {
    for name, at in local.operations : name => merge(
      { for member in ["operationId", "summary", "requestBody"] : member => at.operation[member] if can(at.operation[member]) },
      {
        # Of a parameter API Gateway checks that it is there, and nothing else; the template checks the rest.
        parameters = [
          for parameter in try(at.operation.parameters, []) :
          { name = parameter.name, in = parameter.in, required = try(parameter.required, false), schema = { type = "string" } }
        ]
        # The import does not apply the document's security to its operations.
        security  = try(at.operation.security, local.document.security)
        responses = { for status, response in at.operation.responses : status => { description = response.description } }

        x-amazon-apigateway-request-validator = "all"
        x-amazon-apigateway-integration       = local.integrations[at.operation.operationId]
      },
    )
  }

  body = {
    openapi    = local.document.openapi
    info       = merge(local.document.info, { title = var.name })
    components = { securitySchemes = local.document.components.securitySchemes, schemas = local.models }

    paths = {
      for path in distinct([for at in values(local.operations) : at.path]) : path => {
        for name, at in local.operations : at.method => local.imported_operations[name] if at.path == path
      }
    }

    x-amazon-apigateway-api-key-source     = "HEADER"
    x-amazon-apigateway-request-validators = { all = { validateRequestBody = true, validateRequestParameters = true } }
    x-amazon-apigateway-gateway-responses  = local.gateway_responses
  }

  models = { for model in local.request_models : model => local.document.components.schemas[model] }

  # What API Gateway answers by itself. These templates substitute variables and nothing more.
  gateway_message = { "application/json" = "{\"message\":$context.error.messageString}" }

  gateway_responses = merge(
    {
      for type, status in {
        BAD_REQUEST_PARAMETERS = 400
        INVALID_API_KEY        = 403
        REQUEST_TOO_LARGE      = 413
        UNSUPPORTED_MEDIA_TYPE = 415
        DEFAULT_4XX            = null
      } : type => merge({ responseTemplates = local.gateway_message }, status == null ? {} : { statusCode = status })
    },
    {
      # Its own name for an unknown path or method.
      MISSING_AUTHENTICATION_TOKEN = {
        statusCode        = 404
        responseTemplates = { "application/json" = "{\"message\":\"no such path or method\"}" }
      }
      BAD_REQUEST_BODY = {
        statusCode        = 400
        responseTemplates = { "application/json" = "{\"message\":\"$context.error.validationErrorString\"}" }
      }
    },
    {
      for type, seconds in { THROTTLED = 1, QUOTA_EXCEEDED = 3600 } : type => {
        statusCode                     = 429
        responseTemplates              = local.gateway_message
        responseParameters             = { "gatewayresponse.header.Retry-After" = "'${seconds}'" }
      }
    },
    {
      for type in ["DEFAULT_5XX", "INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT"] : type => {
        statusCode         = 503
        responseTemplates  = { "application/json" = "{\"message\":\"not available; send this again\"}" }
        responseParameters = { "gatewayresponse.header.Retry-After" = "'5'" }
      }
    },
  )
}
