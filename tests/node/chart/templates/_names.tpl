{{- define "boathouse.labels" -}}
app.kubernetes.io/name: boathouse
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
