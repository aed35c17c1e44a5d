package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	genericserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

// newPoliciesCommand is the controller of kube-network-policies with a kubeconfig: its own program takes a pod's account only.
// It decides of the first packet of each connection, which iptables hands over (see `network` in ./up): the nftables rules
// that the controller would set itself need a part of the kernel that not every machine has.
func newPoliciesCommand() *cobra.Command {
	var kubeconfig, node string
	var queue int
	command := &cobra.Command{
		Use:          "network-policies",
		Short:        "Enforce NetworkPolicy on this node",
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return fmt.Errorf("cannot read %s: %w", kubeconfig, err)
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			factory := informers.NewSharedInformerFactory(client, 10*time.Minute)
			controller, err := networkpolicy.NewController(client,
				factory.Networking().V1().NetworkPolicies(), factory.Core().V1().Namespaces(), factory.Core().V1().Pods(),
				nil, nil, nil, nil, networkpolicy.Config{QueueID: queue, NodeName: node})
			if err != nil {
				return err
			}
			ctx := genericserver.SetupSignalContext()
			factory.Start(ctx.Done())
			return controller.Run(ctx)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&node, "hostname-override", "", "the node whose pods are protected; empty: this host's name")
	command.Flags().IntVar(&queue, "nfqueue-id", 100, "the queue that iptables hands packets to")
	return command
}
