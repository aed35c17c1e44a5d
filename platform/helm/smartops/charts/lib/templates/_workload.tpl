{{/* The pods of one service, under the rules of Pod Security "restricted"; of a reader of the node's logs, all but two of them. */}}
{{- define "lib.workload" }}
{{- $s := .service }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  labels: {{- include "lib.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: {{ if $s.nodeLogs }}DaemonSet{{ else }}Deployment{{ end }}
metadata:
  name: {{ .name }}
  labels: {{- include "lib.labels" . | nindent 4 }}
spec:
  selector:
    matchLabels: {{- include "lib.selector" . | nindent 6 }}
  {{- if not $s.nodeLogs }}
  {{- /* Under an autoscaler the number is its own: an upgrade must not put it back. */}}
  {{- if not $s.autoscaling.enabled }}
  replicas: {{ int $s.replicas }}
  {{- end }}
  strategy: {{- ternary (dict "type" "Recreate") (dict "type" "RollingUpdate" "rollingUpdate" (dict "maxSurge" 1 "maxUnavailable" 0)) (default false $s.alone) | toYaml | nindent 4 }}
  {{- end }}
  template:
    metadata:
      labels: {{- include "lib.podlabels" . | nindent 8 }}
      {{- $checked := printf "%s%s" (.checksum | default "") (tpl (dig "data" dict ($s.files | default dict) | toYaml) .root) }}
      annotations: {checksum/files: {{ $checked | sha256sum | trunc 16 | quote }}}
    spec:
      serviceAccountName: {{ .name }}
      automountServiceAccountToken: {{ not (empty $s.rights) }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $s.grace | default 30 }}
      {{- with .root.Values.global.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- if $s.nodeLogs }}
        runAsUser: 0 # the node's log files are root's
        {{- else }}
        runAsNonRoot: true
        runAsUser: {{ int ($s.user | default 65534) }}
        runAsGroup: {{ int ($s.user | default 65534) }}
        fsGroup: {{ int ($s.user | default 65534) }}
        {{- end }}
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: {{ .name }}
          image: {{ include "lib.image" $s.image }}
          imagePullPolicy: {{ $s.image.pullPolicy | default "IfNotPresent" }}
          {{- with $s.command }}
          command: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with $s.args }}
          args: {{- toYaml . | nindent 12 }}
          {{- end }}
          env:
            - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
            {{- range $key, $value := $s.env }}
            - {name: {{ $key }}, value: {{ tpl (toString $value) $.root | quote }}}
            {{- end }}
            {{- range $key, $from := $s.secrets }}
            - {name: {{ $key }}, valueFrom: {secretKeyRef: {name: {{ $from.secret }}, key: {{ $from.key }}, optional: true}}}
            {{- end }}
          {{- if $s.port }}
          ports:
            - {name: http, containerPort: {{ $s.port }}}
            {{- range $name, $port := $s.ports }}
            - {name: {{ $name }}, containerPort: {{ $port }}}
            {{- end }}
          {{- $probe := dict "path" $s.health "port" "http" }}
          startupProbe: {httpGet: {{ toJson $probe }}, periodSeconds: 1, failureThreshold: {{ $s.startup | default 60 }}}
          readinessProbe: {httpGet: {{ toJson $probe }}, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 2}
          {{- if ne $s.liveness false }}
          livenessProbe: {httpGet: {{ toJson $probe }}, periodSeconds: 20, timeoutSeconds: 5}
          {{- end }}
          {{- end }}
          resources: {{- toYaml $s.resources | nindent 12 }}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- range $i, $path := $s.writable }}
            - {name: writable-{{ $i }}, mountPath: {{ $path }}}
            {{- end }}
            {{- with $s.files }}
            - {name: files, mountPath: {{ .path }}, readOnly: true}
            {{- end }}
            {{- range $map, $path := $s.mounts }}
            - {name: {{ $map }}, mountPath: {{ $path }}, readOnly: true}
            {{- end }}
            {{- with $s.storage }}
            - {name: data, mountPath: {{ .path }}}
            {{- end }}
            {{- if $s.nodeLogs }}
            - {name: node-logs, mountPath: {{ $s.nodeLogs }}, readOnly: true}
            {{- end }}
      volumes:
        - {name: tmp, emptyDir: {sizeLimit: 256Mi}}
        {{- range $i, $path := $s.writable }}
        - {name: writable-{{ $i }}, emptyDir: {sizeLimit: 1Gi}}
        {{- end }}
        {{- with $s.files }}
        - {name: files, configMap: {name: {{ .name }}}}
        {{- end }}
        {{- range $map, $path := $s.mounts }}
        - {name: {{ $map }}, configMap: {name: {{ $map }}}}
        {{- end }}
        {{- with $s.storage }}
        {{- if .claim }}
        - {name: data, persistentVolumeClaim: {claimName: {{ $.name }}}}
        {{- else }}
        - {name: data, emptyDir: {sizeLimit: {{ .size }}}}
        {{- end }}
        {{- end }}
        {{- if $s.nodeLogs }}
        - {name: node-logs, hostPath: {path: {{ $s.nodeLogs }}, type: Directory}}
        {{- end }}
{{- if dig "claim" false ($s.storage | default dict) }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .name }}
  labels: {{- include "lib.labels" . | nindent 4 }}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: {{ $s.storage.size }}}}
{{- end }}
{{- end }}
