{{/* What no schema can tell: values that contradict each other. Each line names the value to change. */}}
{{- define "sluice.checks" -}}
{{- $settings := include "sluice.settings" . | fromYaml -}}
{{- $cache := .Values.modelCache -}}
{{- $partitions := include "sluice.setting" (list . "topics" "partitions" 6) | int -}}
{{- $wanted := ternary .Values.keda.maxReplicas .Values.replicas .Values.keda.enabled | int -}}
{{- $bundle := required "settings.models.bundle: openai, starter, or a folder below /models" $settings.models.bundle -}}
{{- $brokers := required "settings.kafka.bootstrap_servers: the brokers as host:port" (dig "kafka" "bootstrap_servers" "" $settings) -}}
{{- if gt $wanted $partitions -}}
{{- fail (printf "%s: %d replicas share %d partitions at most; raise settings.topics.partitions if the topics have more" (ternary "keda.maxReplicas" "replicas" .Values.keda.enabled) $wanted $partitions) -}}
{{- end -}}
{{- if and .Values.keda.enabled (mod $partitions $wanted) -}}
{{- fail (printf "keda.maxReplicas: %d replicas do not share %d partitions evenly; take a divisor" $wanted $partitions) -}}
{{- end -}}
{{- if and (eq $bundle "openai") (eq $cache.kind "none") -}}
{{- fail "modelCache.kind: openai needs a place for its weights: image, claim, perReplica or ephemeral" -}}
{{- end -}}
{{- if and (include "sluice.fetches" .) (ne $bundle "openai") -}}
{{- fail (printf "modelCache.kind: %s fetches the bundle openai, not %s; use image, claim or none" $cache.kind $bundle) -}}
{{- end -}}
{{- range $kind := list "image" "claim" -}}
{{- if and (eq $cache.kind $kind) (not (get $cache $kind)) -}}
{{- fail (printf "modelCache.%s: names what is mounted at /models" $kind) -}}
{{- end -}}
{{- end -}}
{{- if .Values.networkPolicy.enabled -}}{{ include "sluice.checks.network" . }}{{- end -}}
{{- include "sluice.checks.kafka" (list . $settings) -}}
{{- if and .Values.keda.enabled (lt (int .Values.keda.maxReplicas) (max (int .Values.keda.minReplicas) (int .Values.keda.fallbackReplicas))) -}}
{{- fail "keda.maxReplicas: must not be below keda.minReplicas or keda.fallbackReplicas" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.checks.network" -}}
{{- $policy := .Values.networkPolicy -}}
{{- if not (or $policy.egress.brokers.to .Values.strimzi.cluster) -}}
{{- fail "networkPolicy.egress.brokers.to: who the brokers are, as NetworkPolicy peers; or networkPolicy.enabled=false" -}}
{{- end -}}
{{- if and (include "sluice.fetches" .) (not $policy.egress.hub.to) -}}
{{- fail (printf "networkPolicy.egress.hub.to: modelCache.kind %s asks the model hub; or use image or claim" .Values.modelCache.kind) -}}
{{- end -}}
{{- if and .Values.monitoring.podMonitor (not $policy.metricsFrom) -}}
{{- fail "networkPolicy.metricsFrom: who Prometheus is, as NetworkPolicy peers; it could not scrape" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.checks.kafka" -}}
{{- $root := index . 0 -}}
{{- $kafka := (index . 1).kafka -}}
{{- $protocol := $kafka.security_protocol | default "PLAINTEXT" -}}
{{- if and (not (hasSuffix "SSL" $protocol)) (not $kafka.allow_insecure) -}}
{{- fail (printf "settings.kafka.security_protocol: %s is clear text; SSL or SASL_SSL, or settings.kafka.allow_insecure=true where the network is trusted" $protocol) -}}
{{- end -}}
{{- if and (hasPrefix "SASL" $protocol) (not $root.Values.secrets.settings) -}}
{{- fail "secrets.settings: an existing Secret with the key kafka__sasl_password" -}}
{{- end -}}
{{- if and $root.Values.keda.enabled (hasPrefix "SASL" $protocol) (not $root.Values.keda.authentication) -}}
{{- fail "keda.authentication: parameters username and password, by which KEDA logs in to the brokers" -}}
{{- end -}}
{{- if and $root.Values.strimzi.cluster (not (has "consumer" $root.Values.strimzi.users)) -}}
{{- fail "strimzi.users: must have consumer, by whose certificate the pods log in" -}}
{{- end -}}
{{- end -}}
