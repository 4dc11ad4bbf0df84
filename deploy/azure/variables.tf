variable "subscription_id" {
  description = "The subscription that everything is made in."
  type        = string
}

variable "resource_group_name" {
  description = "An existing resource group."
  type        = string
}

variable "location" {
  description = "The region."
  type        = string
  default     = "westeurope"
}

variable "name" {
  description = "What the app is called, and what the names of everything else begin with."
  type        = string
  default     = "hotswap"
}

variable "image" {
  description = "The image, with its registry and a tag or digest."
  type        = string
}

variable "registry_id" {
  description = "The id of the Azure Container Registry that has the image: the identity may pull from it."
  type        = string
}

variable "registry_server" {
  description = "That registry's login server."
  type        = string
}

variable "artifact_store_id" {
  description = "The id of the storage account that has MLflow's artifacts: the identity may read its blobs."
  type        = string
}

variable "mlflow_tracking_uri" {
  description = "MLFLOW_TRACKING_URI."
  type        = string
}

variable "mlflow_tracking_token" {
  description = "MLFLOW_TRACKING_TOKEN."
  type        = string
  sensitive   = true
}

variable "model_uri" {
  description = "MODEL_URI: which pointer is followed."
  type        = string
}

variable "admin_token" {
  description = "ADMIN_TOKEN: what reload and pin want, the wake-up function among them."
  type        = string
  sensitive   = true
}

variable "webhook_secret" {
  description = "WEBHOOK_SECRET: what MLflow signs its webhooks with."
  type        = string
  sensitive   = true
}

variable "external" {
  description = "Whether the service is reached from outside the environment's network."
  type        = bool
  default     = false
}

variable "min_replicas" {
  description = "Replicas that always run; with 0 the first request would wait for a model to load."
  type        = number
  default     = 1

  validation {
    condition     = var.min_replicas >= 1
    error_message = "At least one replica has to run: what is promoted is loaded before it is asked for."
  }
}

variable "max_replicas" {
  description = "Replicas at most."
  type        = number
  default     = 4
}

variable "cpu" {
  description = "CPUs of a replica's service; the collector beside it has 0.25."
  type        = number
  default     = 1.75
}

variable "memory" {
  description = "Memory of a replica's service; the collector beside it has 0.5Gi."
  type        = string
  default     = "3.5Gi"
}

variable "drain_timeout_s" {
  description = "DRAIN_TIMEOUT_S: accepted requests have so long when a replica ends."
  type        = number
  default     = 30
}
