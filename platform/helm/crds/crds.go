// Package crds names the types of the Prometheus operator, of which platform/tools makes CustomResourceDefinitions: the tests
// compare the chart's objects with them.
package crds

import _ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
