# The service as an Azure Container App: see README.md for what was tried of this.

data "azurerm_resource_group" "this" {
  name = var.resource_group_name
}

resource "azurerm_log_analytics_workspace" "this" {
  name                = "${var.name}-logs"
  location            = var.location
  resource_group_name = data.azurerm_resource_group.this.name
  sku                 = "PerGB2018"
  retention_in_days   = 30
}

resource "azurerm_application_insights" "this" {
  name                = "${var.name}-insights"
  location            = var.location
  resource_group_name = data.azurerm_resource_group.this.name
  workspace_id        = azurerm_log_analytics_workspace.this.id
  application_type    = "web"
}

# What the app may do elsewhere: pull its image, and read the artifacts. It may change neither.
resource "azurerm_user_assigned_identity" "this" {
  name                = var.name
  location            = var.location
  resource_group_name = data.azurerm_resource_group.this.name
}

resource "azurerm_role_assignment" "pull" {
  scope                = var.registry_id
  role_definition_name = "AcrPull"
  principal_id         = azurerm_user_assigned_identity.this.principal_id
}

resource "azurerm_role_assignment" "artifacts" {
  scope                = var.artifact_store_id
  role_definition_name = "Storage Blob Data Reader"
  principal_id         = azurerm_user_assigned_identity.this.principal_id
}

resource "azurerm_container_app_environment" "this" {
  name                       = "${var.name}-environment"
  location                   = var.location
  resource_group_name        = data.azurerm_resource_group.this.name
  log_analytics_workspace_id = azurerm_log_analytics_workspace.this.id
}

locals {
  port = 8080
  # Secrets apart, which are named below.
  settings = {
    HOST                        = "0.0.0.0"
    PORT                        = tostring(local.port)
    CACHE_DIR                   = "/var/lib/hotswap/cache"
    # The replica's own disk is small.
    ENV_CACHE_BYTES             = "2GiB"
    LOG_FORMAT                  = "json"
    MLFLOW_TRACKING_URI         = var.mlflow_tracking_uri
    MODEL_URI                   = var.model_uri
    DRAIN_TIMEOUT_S             = tostring(var.drain_timeout_s)
    OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318"
    # By which identity artifacts are read. Model code gets no token of it: IDENTITY_HEADER, which
    # the endpoint of tokens wants, is kept from it.
    AZURE_CLIENT_ID = azurerm_user_assigned_identity.this.client_id
  }
  secrets = {
    ADMIN_TOKEN           = "admin-token"
    WEBHOOK_SECRET        = "webhook-secret"
    MLFLOW_TRACKING_TOKEN = "mlflow-tracking-token"
  }
}

resource "azurerm_container_app" "this" {
  name                         = var.name
  container_app_environment_id = azurerm_container_app_environment.this.id
  resource_group_name          = data.azurerm_resource_group.this.name
  revision_mode                = "Single"

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.this.id]
  }

  registry {
    server   = var.registry_server
    identity = azurerm_user_assigned_identity.this.id
  }

  secret {
    name  = "admin-token"
    value = var.admin_token
  }

  secret {
    name  = "webhook-secret"
    value = var.webhook_secret
  }

  secret {
    name  = "mlflow-tracking-token"
    value = var.mlflow_tracking_token
  }

  secret {
    name  = "insights-connection"
    value = azurerm_application_insights.this.connection_string
  }

  ingress {
    external_enabled           = var.external
    target_port                = local.port
    transport                  = "auto"
    allow_insecure_connections = false

    traffic_weight {
      percentage      = 100
      latest_revision = true
    }
  }

  template {
    min_replicas = var.min_replicas
    max_replicas = var.max_replicas
    # Both drains and what follows them.
    termination_grace_period_seconds = 2 * var.drain_timeout_s + 30

    container {
      name   = "hotswap"
      image  = var.image
      args   = ["serve"]
      cpu    = var.cpu
      memory = var.memory

      dynamic "env" {
        for_each = local.settings
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = local.secrets
        content {
          name        = env.key
          secret_name = env.value
        }
      }

      startup_probe {
        transport               = "HTTP"
        port                    = local.port
        path                    = "/health/live"
        interval_seconds        = 5
        timeout                 = 5
        failure_count_threshold = 30
      }

      liveness_probe {
        transport               = "HTTP"
        port                    = local.port
        path                    = "/health/live"
        interval_seconds        = 10
        timeout                 = 10
        failure_count_threshold = 3
      }

      readiness_probe {
        transport               = "HTTP"
        port                    = local.port
        path                    = "/health/ready"
        interval_seconds        = 5
        timeout                 = 5
        failure_count_threshold = 2
      }

      volume_mounts {
        name = "cache"
        path = "/var/lib/hotswap"
      }
    }

    # Azure Monitor takes no OTLP by itself.
    container {
      name   = "collector"
      image  = "otel/opentelemetry-collector-contrib:0.135.0"
      args   = ["--config=env:COLLECTOR_CONFIG"]
      cpu    = 0.25
      memory = "0.5Gi"

      env {
        name  = "COLLECTOR_CONFIG"
        value = file("${path.module}/collector.yaml")
      }

      env {
        name        = "APPLICATIONINSIGHTS_CONNECTION_STRING"
        secret_name = "insights-connection"
      }
    }

    http_scale_rule {
      name                = "requests"
      concurrent_requests = "64"
    }

    volume {
      name         = "cache"
      storage_type = "EmptyDir"
    }
  }

  depends_on = [azurerm_role_assignment.pull, azurerm_role_assignment.artifacts]
}
