{{/* What every pod of the release has in common: who it is, what it may, what it sees. */}}
{{- define "sluice.pod.security" -}}
serviceAccountName: {{ include "sluice.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "sluice.container.security" -}}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "sluice.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
# The ordinal lives on where the process does not, so a new life fences what is left of the old one.
- name: SLUICE_KAFKA__TRANSACTIONAL_ID
  value: {{ include "sluice.group" . }}-$(POD_NAMESPACE)-$(POD_NAME)
- name: SLUICE_CONFIG
  value: /etc/sluice/config/settings.yaml
{{- if .Values.secrets.settings }}
- name: SLUICE_SECRETS_DIR
  value: /etc/sluice/secrets
{{- end }}
{{- include "sluice.env.cores" . }}
{{ include "sluice.env.models" . }}
{{- range $name, $value := .Values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* A process sees all cores of the node, whatever it may use of them. */}}
{{- define "sluice.env.cores" -}}
{{- if not (get (.Values.settings.media | default dict) "decoders") }}
- name: SLUICE_MEDIA__DECODERS
  valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: "1"}}
{{- end }}
{{- if not (or .Values.gpu.enabled .Values.settings.models.torch_threads) }}
- name: SLUICE_MODELS__TORCH_THREADS
  valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: "1"}}
{{- end }}
{{- end -}}

{{- define "sluice.env.models" -}}
- name: HOME
  value: /tmp
- name: HF_HOME
  value: /models
{{- end -}}

{{- define "sluice.mounts" -}}
- {name: config, mountPath: /etc/sluice/config, readOnly: true}
{{- if .Values.secrets.settings }}
- {name: secrets, mountPath: /etc/sluice/secrets, readOnly: true}
{{- end }}
{{- range include "sluice.files" . | fromYamlArray }}
- {name: {{ include "sluice.file.volume" . }}, mountPath: /etc/sluice/files/{{ . }}, readOnly: true}
{{- end }}
- {name: tmp, mountPath: /tmp}
- {name: run, mountPath: /run/sluice}
{{- end -}}

{{- define "sluice.volumes" -}}
- name: config
  configMap: {name: {{ include "sluice.name" . }}, defaultMode: 0440}
{{- with .Values.secrets.settings }}
- name: secrets
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- range include "sluice.files" . | fromYamlArray }}
- name: {{ include "sluice.file.volume" . }}
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
- name: tmp
  emptyDir: {sizeLimit: 2Gi}
# The poison journal: it must outlive the process and need not outlive the pod.
- name: run
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- end -}}

{{/* Names of Secrets that are mounted as folders. */}}
{{- define "sluice.files" -}}
{{- $files := .Values.secrets.files -}}
{{- if .Values.strimzi.cluster }}{{ $files = concat $files (include "sluice.strimzi.secrets" . | fromYamlArray) }}{{ end -}}
{{- $files | uniq | toJson -}}
{{- end -}}

{{- define "sluice.file.volume" -}}
{{- printf "files-%s" . | replace "." "-" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The volume of the weights where all replicas may share it. */}}
{{- define "sluice.models.volume" -}}
{{- $cache := .Values.modelCache -}}
{{- if eq $cache.kind "image" }}
- name: models
  image: {reference: {{ $cache.image }}, pullPolicy: IfNotPresent}
{{- else if eq $cache.kind "claim" }}
- name: models
  persistentVolumeClaim: {claimName: {{ $cache.claim }}, readOnly: true}
{{- else if eq $cache.kind "ephemeral" }}
- name: models
  emptyDir: {sizeLimit: {{ $cache.size }}}
{{- end }}
{{- end -}}
