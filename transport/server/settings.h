// What an appliance is told to be. Plain values.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/secure_bytes.h"
#include "transport/server/log.h"
#include "transport/tls/context.h"
#include "transport/wire/greeting.h"

namespace p11ha::transport {

/// A PKCS#11 module whose tokens are served.
struct ServedModule {
  std::string path;
  std::string reserved;  // for its C_Initialize, as NSS softokn wants it; empty: none

  bool operator==(const ServedModule&) const = default;
};

/// A token that is served. By its serial number or, where that is empty, its label.
struct ServedPartition {
  std::string serial;
  std::string label;
  std::size_t module = 0;  // of ServerSettings::modules
  Authentication authentication = Authentication::Password;
  base::SecureBytes pedPin;  // of PED: what the user's C_Login without a PIN stands for
};

/// A client, known by its certificate: the CN of its subject or the SHA-256 of the whole in hex, whichever is not
/// empty.
struct AllowedClient {
  std::string name;
  std::string fingerprint;
  bool all = false;                     // every partition
  std::vector<std::string> partitions;  // by serial number or label
};

struct ServerLimits {
  std::uint32_t clients = 256;             // applications, each with a process
  std::uint32_t connections = 4096;        // all together
  std::uint32_t unfinished = 256;          // connections whose handshake is not done
  std::uint32_t clientApplications = 128;  // of one client, by its certificate
  std::uint32_t clientConnections = 2048;  // likewise
  std::uint32_t sessions = 4096;           // of one application
  std::uint32_t inFlight = 1024;           // requests on one connection
  Limits frame;
  std::chrono::milliseconds handshake{5000};         // from the connection to the greeting
  std::chrono::milliseconds send{30000};             // for a client to take what it asked for
  std::chrono::milliseconds call{60000};             // then the worker is killed
  std::chrono::milliseconds keyGeneration{2700000};  // likewise
  std::chrono::milliseconds drain{10000};            // for calls in flight, when the appliance ends
  std::chrono::milliseconds heartbeat{500};
};

struct ServerSettings {
  std::string address = "0.0.0.0";    // or a host name, or "::"
  std::uint16_t port = kDefaultPort;  // 0: any
  TlsFiles tls;
  std::vector<ServedModule> modules;
  std::vector<ServedPartition> partitions;
  std::vector<AllowedClient> clients;
  ServerLimits limits;
  std::string controlSocket;  // empty: none
  std::string stateFile;      // keeps the partitions' states over restarts; empty: all are active at each start
  std::string logFile;        // empty: standard error
  LogLevel logLevel = LogLevel::Info;
};

}  // namespace p11ha::transport
