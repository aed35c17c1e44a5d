{{/* Whether this release installs the telemetry: empty if another one has. */}}
{{- define "smartops.installs" }}{{ if not .Values.telemetry.namespace }}yes{{ end }}{{ end }}

{{- define "smartops.telemetry" }}{{ .Values.telemetry.namespace | default .Release.Namespace }}{{ end }}

{{- define "smartops.watched" }}{{ concat (list .Release.Namespace) .Values.telemetry.watches | uniq | join "," }}{{ end }}

{{- define "smartops.small" }}{{ if and (include "smartops.installs" .) (eq .Values.telemetry.kind "small") }}yes{{ end }}{{ end }}
{{- define "smartops.upstream" }}{{ if and (include "smartops.installs" .) (eq .Values.telemetry.kind "upstream") }}yes{{ end }}{{ end }}

{{- define "smartops.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Any pod of SmartOps, in whatever namespace; Prometheus, and all pods of the telemetry, here or where they are. */}}
{{- define "smartops.anywhere" -}}
{namespaceSelector: {}, podSelector: {matchLabels: {app.kubernetes.io/part-of: smartops}}}
{{- end }}
{{- define "smartops.prometheus" -}}
{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ include "smartops.telemetry" . }}}}, podSelector: {matchLabels: {app.kubernetes.io/name: prometheus}}}
{{- end }}
{{- define "smartops.watchers" -}}
{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ include "smartops.telemetry" . }}}}, podSelector: {}}
{{- end }}

{{/* The beginning of a NetworkPolicy. */}}
{{- define "smartops.policy" }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  labels: {{- .labels }}
spec:
  podSelector: {{ if .pods }}{matchLabels: {{ toJson .pods }}}{{ else }}{}{{ end }}
{{- end }}
