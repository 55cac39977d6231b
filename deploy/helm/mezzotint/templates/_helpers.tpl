{{- define "mezzotint.name" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | replace (printf "%s-%s" .Chart.Name .Chart.Name) .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "mezzotint.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mezzotint.labels" -}}
{{ include "mezzotint.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* What a pod of either kind is: call it with a dict of root and settings (those of this kind alone). */}}
{{- define "mezzotint.environment" -}}
- name: MEZZOTINT_DATABASE
  valueFrom: {secretKeyRef: {name: {{ .root.Values.secret }}, key: database}}
- name: MEZZOTINT_TOKEN_SECRET
  valueFrom: {secretKeyRef: {name: {{ .root.Values.secret }}, key: token-secret}}
- name: MEZZOTINT_S3_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .root.Values.secret }}, key: s3-access-key-id, optional: true}}
- name: MEZZOTINT_S3_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .root.Values.secret }}, key: s3-secret-access-key, optional: true}}
- name: MEZZOTINT_OBJECTS
  value: {{ .root.Values.objects | quote }}
- name: MEZZOTINT_S3_REGION
  value: {{ .root.Values.s3.region | quote }}
{{- with .root.Values.s3.endpoint }}
- name: MEZZOTINT_S3_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- if .root.Values.models.file }}
- name: MEZZOTINT_MODELS
  value: /etc/mezzotint/models.toml
{{- else }}
- name: MEZZOTINT_MODEL
  value: {{ .root.Values.models.model | quote }}
{{- end }}
{{- if .root.Values.provenanceSecret }}
- name: MEZZOTINT_PROVENANCE_CERTIFICATES
  value: /etc/mezzotint-provenance/tls.crt
- name: MEZZOTINT_PROVENANCE_KEY
  value: /etc/mezzotint-provenance/tls.key
{{- else }}
- name: MEZZOTINT_PROVENANCE
  value: "false"
{{- end }}
{{- range $name, $value := merge (dict) .settings .root.Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "mezzotint.mounts" -}}
- {name: data, mountPath: /var/lib/mezzotint}
- {name: tmp, mountPath: /tmp}
{{- if .Values.models.file }}
- {name: models-file, mountPath: /etc/mezzotint, readOnly: true}
{{- end }}
{{- if .Values.models.claim }}
- {name: models, mountPath: /models, readOnly: true}
{{- end }}
{{- if .Values.provenanceSecret }}
- {name: provenance, mountPath: /etc/mezzotint-provenance, readOnly: true}
{{- end }}
{{- end -}}

{{- define "mezzotint.volumes" -}}
- {name: data, emptyDir: {}}
- {name: tmp, emptyDir: {sizeLimit: 4Gi}}
{{- if .Values.models.file }}
- name: models-file
  configMap: {name: {{ include "mezzotint.name" . }}-models}
{{- end }}
{{- if .Values.models.claim }}
- name: models
  persistentVolumeClaim: {claimName: {{ .Values.models.claim }}, readOnly: true}
{{- end }}
{{- if .Values.provenanceSecret }}
- name: provenance
  secret: {secretName: {{ .Values.provenanceSecret }}, defaultMode: 288}
{{- end }}
{{- end -}}

{{- define "mezzotint.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "mezzotint.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "mezzotint.pullSecrets" -}}
{{- range .Values.images.pullSecrets }}
- name: {{ . }}
{{- end }}
{{- end -}}

{{- define "mezzotint.rayToken" -}}
- {name: RAY_AUTH_MODE, value: token}
- name: RAY_AUTH_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .Values.secret }}, key: ray-token}}
{{- end -}}

{{/* A container of Ray: call it with a dict of root, resources, and process (whose end is the container's). */}}
{{- define "mezzotint.rayContainer" -}}
image: {{ .root.Values.images.ray | quote }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
env: {{- include "mezzotint.environment" (dict "root" .root "settings" .root.Values.fleet.settings) | nindent 2 }}
  {{- include "mezzotint.rayToken" .root | nindent 2 }}
  - {name: RAY_USAGE_STATS_ENABLED, value: "0"}
  - {name: RAY_worker_niceness, value: "0"}
  - name: MEZZOTINT_SHUTDOWN_S
    value: {{ .root.Values.fleet.shutdownSeconds | quote }}
  - name: MEZZOTINT_WORKER_METRICS_PORT
    value: "0"
# Without any KubeRay adds its own, which ask a dashboard.
livenessProbe: {{- include "mezzotint.rayAlive" . | nindent 2 }}
readinessProbe: {{- include "mezzotint.rayAlive" . | nindent 2 }}
resources: {{- toYaml .resources | nindent 2 }}
securityContext: {{- include "mezzotint.containerSecurity" .root | nindent 2 }}
volumeMounts: {{- include "mezzotint.mounts" .root | nindent 2 }}
  - {name: fleet, mountPath: /etc/mezzotint-fleet, readOnly: true}
{{- end -}}

{{- define "mezzotint.rayAlive" -}}
exec:
  command: [python, -c, "import glob, sys; sys.exit('{{ .process }}' not in [open(name).read().strip() for name in glob.glob('/proc/[0-9]*/comm')])"]
initialDelaySeconds: 60
periodSeconds: 30
timeoutSeconds: 10
{{- end -}}

{{- define "mezzotint.rayVolumes" -}}
{{ include "mezzotint.volumes" . }}
- name: fleet
  configMap: {name: {{ include "mezzotint.name" . }}-fleet}
{{- end -}}
