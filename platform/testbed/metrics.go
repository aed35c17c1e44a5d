package main

import (
	"github.com/spf13/cobra"
	genericserver "k8s.io/apiserver/pkg/server"
	openapi "k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	generated "sigs.k8s.io/metrics-server/pkg/api/generated/openapi"

	"sigs.k8s.io/metrics-server/cmd/metrics-server/app/options"
)

// newMetricsCommand is metrics-server, with the names of its models as this Kubernetes asks for them: it knows them by the
// paths of their packages, as Kubernetes did before 1.35.
func newMetricsCommand() *cobra.Command {
	flags := options.NewOptions()
	command := &cobra.Command{
		Use:          "metrics-server",
		Short:        "Answer what kubectl top and autoscalers ask",
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			if problems := flags.Validate(); len(problems) > 0 {
				return problems[0]
			}
			config, err := flags.ServerConfig()
			if err != nil {
				return err
			}
			v2, v3 := config.Apiserver.OpenAPIConfig, config.Apiserver.OpenAPIV3Config
			v2.GetDefinitions, v2.Definitions = definitions, nil
			v3.GetDefinitions, v3.Definitions = definitions, nil
			server, err := config.Complete()
			if err != nil {
				return err
			}
			return server.RunUntil(genericserver.SetupSignalHandler())
		},
	}
	for _, set := range flags.Flags().FlagSets {
		command.Flags().AddFlagSet(set)
	}
	return command
}

func definitions(reference openapi.ReferenceCallback) map[string]openapi.OpenAPIDefinition {
	found := map[string]openapi.OpenAPIDefinition{}
	for name, definition := range generated.GetOpenAPIDefinitions(reference) {
		found[name] = definition
		found[util.ToRESTFriendlyName(name)] = definition
	}
	return found
}
