output "url" {
  description = "Where the service is."
  value       = "https://${azurerm_container_app.this.ingress[0].fqdn}"
}

output "identity_principal_id" {
  description = "Whom to give rights to, such as on another artifact store."
  value       = azurerm_user_assigned_identity.this.principal_id
}
