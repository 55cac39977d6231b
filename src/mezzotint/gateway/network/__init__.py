"""The gateway's side of the network: addresses, proxies, host names, connections and the HTTP parser."""
