{{- define "sluice.strimzi.namespace" -}}
{{- .Values.strimzi.namespace | default .Release.Namespace -}}
{{- end -}}

{{/* Secrets that Strimzi makes: the authority of the brokers, and who we are. */}}
{{- define "sluice.strimzi.secrets" -}}
{{- list (printf "%s-cluster-ca-cert" .Values.strimzi.cluster) (printf "%s-consumer" (include "sluice.name" .)) | toJson -}}
{{- end -}}

{{- define "sluice.strimzi.settings" -}}
{{- $files := "/etc/sluice/files" -}}
{{- $secrets := include "sluice.strimzi.secrets" . | fromYamlArray -}}
kafka:
  bootstrap_servers: {{ .Values.strimzi.cluster }}-kafka-bootstrap.{{ include "sluice.strimzi.namespace" . }}.svc:9093
  security_protocol: SSL
  ssl_ca_file: {{ $files }}/{{ first $secrets }}/ca.crt
  ssl_certificate_file: {{ $files }}/{{ last $secrets }}/user.crt
  ssl_key_file: {{ $files }}/{{ last $secrets }}/user.key
{{- end -}}

{{/* The brokers as the network policy knows them. */}}
{{- define "sluice.strimzi.peers" -}}
- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ include "sluice.strimzi.namespace" . }}}}
  podSelector: {matchLabels: {strimzi.io/cluster: {{ .Values.strimzi.cluster }}, strimzi.io/kind: Kafka}}
{{- end -}}

{{- define "sluice.strimzi.metadata" -}}
namespace: {{ include "sluice.strimzi.namespace" . }}
labels:
  strimzi.io/cluster: {{ .Values.strimzi.cluster }}
  {{- include "sluice.labels" . | nindent 2 }}
{{- end -}}

{{/* Topics by what they are for: name, days to keep, largest record; the same as `sluice topics create`. */}}
{{- define "sluice.topics" -}}
{{- $mib := 1048576 -}}
{{- $event := add 262144 (include "sluice.setting" (list . "media" "max_event_bytes" (mul 2 $mib)) | float64 | int64) -}}
{{- range $topic := list
  (list "images" "images.generated.v1" 7 $event)
  (list "verdicts" "images.verdicts.v1" 365 $mib)
  (list "quality" "images.quality.v1" 30 $mib)
  (list "dead_letters" "images.deadletter.v1" 30 (add $event $mib))
  (list "feedback" "images.feedback.v1" 365 $mib)
  (list "control" "images.control.v1" 0 $mib) }}
{{ index $topic 0 }}:
  name: {{ include "sluice.setting" (list $ "topics" (index $topic 0) (index $topic 1)) }}
  days: {{ index $topic 2 }}
  bytes: {{ index $topic 3 }}
{{- end }}
{{- end -}}

{{/* The least a role needs: operations, type and name of the resource; the same as `sluice topics acls`. */}}
{{- define "sluice.acls" -}}
{{- $group := include "sluice.group" . -}}
{{- $topics := include "sluice.topics" . | fromYaml -}}
{{- $outputs := list "verdicts" "quality" "dead_letters" -}}
consumer:
  - {operations: [Read], type: topic, name: {{ $topics.images.name }}}
  - {operations: [Read], type: group, name: {{ $group }}}
  {{- range $outputs }}
  - {operations: [Write], type: topic, name: {{ get (get $topics .) "name" }}}
  {{- end }}
  - {operations: [Write], type: transactionalId, name: {{ $group }}-, prefix: true}
producer:
  - {operations: [Write], type: topic, name: {{ $topics.images.name }}}
display:
  - {operations: [Read], type: topic, name: {{ $topics.verdicts.name }}}
  - {operations: [Read], type: group, name: {{ $group }}-display, prefix: true}
monitoring:
  - {operations: [Read], type: topic, name: {{ $topics.verdicts.name }}}
  - {operations: [Read], type: topic, name: {{ $topics.quality.name }}}
  - {operations: [Read], type: group, name: {{ $group }}-monitoring, prefix: true}
  - {operations: [Describe], type: topic, name: {{ $topics.images.name }}}
  - {operations: [Describe], type: group, name: {{ $group }}}
operator:
  {{- range $outputs }}
  - {operations: [Read], type: topic, name: {{ get (get $topics .) "name" }}}
  {{- end }}
  - {operations: [Describe], type: group, name: {{ $group }}}
  - {operations: [Write], type: topic, name: {{ $topics.images.name }}}
administrator:
  {{- range $topic := $topics }}
  - {operations: [Create, Describe, DescribeConfigs], type: topic, name: {{ $topic.name }}}
  {{- end }}
{{- end -}}
