// This process as a client of appliances.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/file_stamp.h"
#include "transport/client/remote_member.h"

namespace p11ha::transport {

struct ClientSettings {
  TlsFiles tls;
  std::vector<Endpoint> servers;
  std::chrono::milliseconds connectTimeout{5000};
  LinkPolicy link;
  std::chrono::milliseconds callDeadline{20'000};
  std::chrono::milliseconds keyGenerationDeadline{2'700'000};
  unsigned links = 1;  // of each member
};

/// Owned by whoever owns the members, which it must outlive. Has a thread, which tends the links while nobody calls.
/// Any thread.
class Client {
 public:
  /// The error is what the system lacks, ready to be shown. Files of the settings that are no good are no error:
  /// nothing can be reached as long as they are.
  static base::Result<std::unique_ptr<Client>, std::string> make(ClientSettings settings);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const ClientSettings& settings() const { return settings_; }

  /// What is wrong with the files of the settings as they are now, ready to be shown.
  std::optional<std::string> problemOfFiles() P11HA_EXCLUDES(filesMutex_);

  /// What a server has for this client.
  struct Listing {
    std::size_t server = 0;
    std::vector<PartitionInfo> partitions;
    std::string problem;  // why that is not known; else empty
  };
  /// Asks all servers at once, each for `connectTimeout` at most.
  std::vector<Listing> list();

  /// For members: connects to one of the servers.
  base::Result<Dialled, DialError> dialTo(std::size_t server, const std::string& serial, base::Monotonic until);
  /// Connects no more: whoever is at it comes back.
  void end() { ended_.store(true); }
  /// And has what came of it tended.
  void tend(const std::shared_ptr<Attachment>& attachment) P11HA_EXCLUDES(mutex_);

 private:
  Client(ClientSettings settings, const ApplicationId& application);
  base::Result<std::shared_ptr<SSL_CTX>, std::string> context() P11HA_EXCLUDES(filesMutex_);
  void keep() P11HA_EXCLUDES(mutex_);

  const ClientSettings settings_;
  const ApplicationId application_;
  std::atomic<bool> ended_{false};
  const std::string name_;  // of this process, for the servers' logs

  base::Mutex filesMutex_;
  std::shared_ptr<SSL_CTX> context_ P11HA_GUARDED_BY(filesMutex_);  // of the files as they were
  std::array<std::optional<base::FileStamp>, 3> stamps_ P11HA_GUARDED_BY(filesMutex_);
  std::string filesProblem_ P11HA_GUARDED_BY(filesMutex_);

  base::Mutex mutex_;
  base::Condition ending_;
  bool isEnding_ P11HA_GUARDED_BY(mutex_) = false;
  std::vector<std::weak_ptr<Attachment>> tended_ P11HA_GUARDED_BY(mutex_);
  std::thread keeper_;
};

}  // namespace p11ha::transport
