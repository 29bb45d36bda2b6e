// What a configuration file asks for, typed, checked and complete: every member has its default.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/diagnostic.h"
#include "config/document.h"

namespace p11ha::config {

enum class RecoveryMode { ActiveBasic, ActiveEnhanced };
enum class LogStatus { Disabled, Enabled };
enum class CloningPolicy { Domain, User, None };  ///< which keys are cloned, and by whom (CLONING)
enum class UnreplicatedKeys { Allow, Deny };      ///< whether a key that cannot be on all members may be made

/// An HA group as the application sees it: a token. Limits: luna-facts, "Configuration file".
struct Group {
  static constexpr std::size_t kMostGroups = 100;
  static constexpr std::size_t kMostMembers = 32;
  static constexpr std::size_t kLongestLabel = 32;   ///< bytes: CK_TOKEN_INFO.label
  static constexpr std::size_t kLongestSerial = 16;  ///< bytes: CK_TOKEN_INFO.serialNumber

  unsigned number = 0;  ///< the NN of VirtualTokenNN...; groups come in the order of these, gaps are legal
  std::string label;
  std::string serial;                 ///< the pseudo serial number (VirtualTokenNNSN)
  std::vector<std::string> members;   ///< serials, as text; the first is the primary as long as it is active
  std::vector<std::string> standby;   ///< a proper subset of members
  bool synchronize = true;            ///< HASynchronize `<label>`
  std::uint64_t recoveryCounter = 0;  ///< HARecovery `<label>`: a change asks for a manual recovery
  std::size_t line = 0;               ///< where the file names the group
};

/// Section HAConfiguration, and the recovery mode of section VirtualToken.
struct HaConfiguration {
  RecoveryMode activeRecovery = RecoveryMode::ActiveEnhanced;
  bool haOnly = true;
  std::int32_t reconnectAttempts = -1;  ///< per outage; 0 off, -1 without end
  std::chrono::seconds autoReconnectInterval{60};
  bool failoverOnDeactivation = true;
  std::uint64_t logLength = 262144;  ///< bytes
  std::string logPath;               ///< an existing directory; empty: nothing is logged
  LogStatus logStatus = LogStatus::Enabled;
};

/// A remote appliance (ServerNameNN).
struct Server {
  unsigned number = 0;
  std::string name;  ///< host name or address
  std::uint16_t port = 1792;
};

/// Section LunaSA Client.
struct Client {
  std::vector<Server> servers;  ///< by number; none where a file is missing that connections need
  std::string caFile;
  std::string certificateFile;
  std::string privateKeyFile;
  std::vector<Diagnostic> files;  ///< for who cannot use one of the three: where it is named, without a text
  std::chrono::milliseconds receiveTimeout{20000};
  bool tcpKeepAlive = true;
};

/// A PKCS#11 module of this host (ModuleNNPath). The same path may be there under several numbers, with another slot
/// each.
struct Module {
  unsigned number = 0;
  std::string path;
  std::string reserved;               ///< CK_C_INITIALIZE_ARGS.pReserved, as NSS softokn wants it; empty: none
  std::optional<std::uint64_t> slot;  ///< the slot id meant; nullopt: every slot with a token
  std::string serial;                 ///< what the token is called instead of its own serial; empty: its own
};

/// Section p11ha.
struct Tuning {
  std::vector<Module> modules;  ///< by number
  std::chrono::milliseconds heartbeatInterval{500};
  std::uint32_t heartbeatMisses = 4;
  std::chrono::milliseconds callDeadline{20000};
  std::chrono::milliseconds keyGenCallDeadline{2700000};
  std::chrono::milliseconds finalizeWait{2000};
  std::chrono::milliseconds connectTimeout{5000};
  std::chrono::milliseconds recoverWait{0};
  std::uint64_t multipartJournal = 1048576;  ///< bytes
  CloningPolicy cloningPolicy = CloningPolicy::Domain;
  UnreplicatedKeys unreplicatedKeys = UnreplicatedKeys::Allow;
  std::string statusPath;  ///< an existing directory; empty: /run/p11ha, where that is one
};

/// A plain value. Settings{} is what an empty file asks for.
struct Settings {
  std::vector<Group> groups;  ///< the sound ones, by number
  HaConfiguration ha;
  Client client;
  Tuning tuning;
  std::vector<Diagnostic> diagnostics;  ///< by line

  // For who reads a file that may be half-written.
  std::optional<Diagnostic> unfinished;  ///< Document::unfinished()
  std::vector<std::string> sections;     ///< the names of those that concern p11ha, in their order
  std::string lastFilled;                ///< of these the last one that has an entry; empty: none
  std::size_t lines = 0;                 ///< of the file

  bool hasErrors() const;
};

/// Reads all sections that concern p11ha (VirtualToken, HASynchronize, HAConfiguration, HARecovery, LunaSA Client,
/// p11ha); no other is looked at. A faulty group is left out and the others work, of two groups that exclude each
/// other the one with the higher number; a faulty value is replaced by its default; each with an error that says so. In
/// the sections that are ours alone (not LunaSA Client) an unknown key is a warning.
/// Pure; any thread; cannot fail: what is wrong is in Settings::diagnostics.
Settings read(const Document& document);

}  // namespace p11ha::config
