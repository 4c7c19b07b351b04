{{/* Name of everything in this release. */}}
{{- define "sluice.name" -}}
{{- $name := .Release.Name -}}
{{- if not (contains "sluice" $name) }}{{ $name = printf "%s-sluice" $name }}{{ end -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* What the release's pods are known by; the second is the job of their metrics. */}}
{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "sluice.image" -}}
{{- $image := .Values.image -}}
{{- $where := required "image.repository: where your image of Sluice is" $image.repository -}}
{{- if $image.digest }}{{ $where }}@{{ $image.digest }}{{ else }}{{ $where }}:{{ $image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{/* The settings file: what the chart decides, below it what was given, below that what the chart advises. */}}
{{- define "sluice.settings" -}}
{{- $advised := dict "models" (dict "device" (ternary "cuda" "cpu" .Values.gpu.enabled)) -}}
{{- if .Values.strimzi.cluster -}}
{{- $advised = mergeOverwrite $advised (include "sluice.strimzi.settings" . | fromYaml) -}}
{{- end -}}
{{- $given := deepCopy .Values.settings -}}
{{- if not $given.kafka.bootstrap_servers }}{{ $_ := unset $given.kafka "bootstrap_servers" }}{{ end -}}
{{- $decided := dict "telemetry" (dict "http_host" "0.0.0.0" "http_port" 9464) "poison" (dict "journal_folder" "/run/sluice") -}}
{{- if .Values.policyFile }}{{ $_ := set $decided "policy" (dict "file" "/etc/sluice/config/policy.yaml") }}{{ end -}}
{{- if .Values.selfTestFile }}{{ $_ := set $decided "self_test" (dict "file" "/etc/sluice/config/self_test.json") }}{{ end -}}
{{- mergeOverwrite $advised $given $decided | toYaml -}}
{{- end -}}

{{/* A number of the settings, or its default: (list . "batching" "drain_timeout_s" 20). */}}
{{- define "sluice.setting" -}}
{{- $section := get (index . 0).Values.settings (index . 1) | default dict -}}
{{- dig (index . 2) (index . 3) $section -}}
{{- end -}}

{{- define "sluice.group" -}}
{{- include "sluice.setting" (list . "kafka" "group_id" "sluice") -}}
{{- end -}}

{{/* Draining, the last transaction, and leaving: models 10 s, the group, the interpreter. */}}
{{- define "sluice.graceSeconds" -}}
{{- $drain := include "sluice.setting" (list . "batching" "drain_timeout_s" 20) | float64 -}}
{{- $transaction := include "sluice.setting" (list . "kafka" "transaction_timeout_s" 15) | float64 -}}
{{- addf $drain $transaction 25 | ceil | int -}}
{{- end -}}

{{/* Whether weights are fetched by the pod itself. */}}
{{- define "sluice.fetches" -}}
{{- if has .Values.modelCache.kind (list "perReplica" "ephemeral") }}yes{{ end -}}
{{- end -}}
