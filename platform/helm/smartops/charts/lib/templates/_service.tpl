{{/* Every object of one service: {{ include "lib.service" (dict "root" . "name" NAME "service" VALUES) }}.
VALUES are described in the umbrella's values.schema.json under `service`. "checksum": text whose change restarts the pods. */}}
{{- define "lib.service" -}}
{{- $s := .service }}
{{- if ne $s.enabled false }}
{{- include "lib.checks" . }}
{{- include "lib.workload" . }}
{{- if $s.port }}
{{- include "lib.port" . }}
{{- end }}
{{- if $s.rights }}
{{- include "lib.role" . }}
{{- end }}
{{- with $s.files }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .name }}
  labels: {{- include "lib.labels" $ | nindent 4 }}
data: {{- tpl (toYaml .data) $.root | nindent 2 }}
{{- end }}
{{- if $s.autoscaling.enabled }}
{{- include "lib.autoscaler" . }}
{{- end }}
{{- if or $s.autoscaling.enabled (gt (int $s.replicas) 1) }}
{{- include "lib.disruption" . }}
{{- end }}
{{- end }}
{{- end }}

{{/* What is missing, said of all values together: a file of values is a part only, of which its schema cannot say it. */}}
{{- define "lib.checks" }}
{{- $s := .service }}
{{- range $path := list "requests.cpu" "requests.memory" "limits.memory" }}
{{- $at := splitList "." $path }}
{{- if not (dig (first $at) (last $at) "" ($s.resources | default dict)) }}
{{- fail (printf "%s: resources.%s is missing: a pod without it may take what others need" $.name $path) }}
{{- end }}
{{- end }}
{{- if and $s.port (not $s.health) }}
{{- fail (printf "%s: health is missing: the path that its probes ask" .name) }}
{{- end }}
{{- if $s.autoscaling.enabled }}
{{- range $key := list "min" "max" "cpu" }}
{{- if not (get $s.autoscaling $key) }}
{{- fail (printf "%s: autoscaling.%s is missing" $.name $key) }}
{{- end }}
{{- end }}
{{- if gt (int $s.autoscaling.min) (int $s.autoscaling.max) }}
{{- fail (printf "%s: autoscaling.min is more than autoscaling.max" .name) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lib.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* `app` is the label by which SmartOps' own manifests and its healer find pods. */}}
{{- define "lib.podlabels" -}}
{{ include "lib.selector" . }}
app: {{ .name }}
app.kubernetes.io/component: {{ .service.component | default .root.Chart.Name }}
app.kubernetes.io/part-of: {{ .partOf | default "smartops" }}
{{- if .service.metrics }}
smartops.io/metrics: "true"
{{- end }}
{{- end }}

{{- define "lib.labels" -}}
{{ include "lib.podlabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* A digest names exactly one image, and wins over a tag. */}}
{{- define "lib.image" -}}
{{- if not .repository }}{{ fail "an image has no repository: set image.repository" }}
{{- else if .digest }}{{ .repository }}@{{ .digest }}
{{- else if .tag }}{{ .repository }}:{{ .tag }}
{{- else }}{{ fail (printf "the image %s has neither a tag nor a digest: set image.digest, or image.tag" .repository) }}
{{- end }}
{{- end }}

{{- define "lib.port" }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  labels: {{- include "lib.labels" . | nindent 4 }}
spec:
  selector: {{- include "lib.selector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ .service.servicePort | default .service.port }}, targetPort: http}
    {{- range $name, $port := .service.ports }}
    - {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $name }}}
    {{- end }}
{{- end }}

{{- define "lib.role" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  labels: {{- include "lib.labels" . | nindent 4 }}
rules: {{- toYaml .service.rights | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  labels: {{- include "lib.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .name }}}
subjects: [{kind: ServiceAccount, name: {{ .name }}, namespace: {{ .root.Release.Namespace }}}]
{{- end }}

{{- define "lib.autoscaler" }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  labels: {{- include "lib.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .name }}}
  minReplicas: {{ .service.autoscaling.min }}
  maxReplicas: {{ .service.autoscaling.max }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ .service.autoscaling.cpu }}}}
{{- end }}

{{- define "lib.disruption" }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels: {{- include "lib.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "lib.selector" . | nindent 6 }}
{{- end }}
