#include "compose/certificates.h"

#include "transport/tls/expiry.h"

namespace p11ha::compose {

std::vector<Certificate> certificatesOf(const config::Settings& settings) {
  if (settings.client.servers.empty()) return {};
  std::vector<Certificate> certificates;
  for (const std::string& file : {settings.client.caFile, settings.client.certificateFile})
    certificates.push_back({file, transport::expiryOf(file)});
  return certificates;
}

}  // namespace p11ha::compose
