// Real tokens to test on.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/temporary_directory.h"

namespace p11ha::tests {

/// The SoftHSM of this machine.
inline constexpr char kSoftHsmModule[] = "/usr/lib/softhsm/libsofthsm2.so";

/// A SoftHSM store of its own in a fresh folder, with initialised, empty tokens "member1", "member2" ... Points
/// SOFTHSM2_CONF of this process at it, so make one before the module is loaded, and one a process at a time. The
/// tokens are made in a child process: this one has not loaded SoftHSM afterwards. Removes the folder at the end.
/// Throws std::runtime_error when the tokens cannot be made.
class SoftHsmStore {
 public:
  explicit SoftHsmStore(std::size_t tokens, std::string pin = "12345678", std::string soPin = "87654321");

  /// For whatever else the test wants to have removed with the store.
  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path configuration() const { return folder_ / "softhsm2.conf"; }
  const std::string& pin() const { return pin_; }
  const std::string& soPin() const { return soPin_; }

  /// 16 hex digits each, in the order of the labels.
  const std::vector<std::string>& serials() const { return serials_; }
  const std::string& serial(std::size_t token) const { return serials_.at(token); }
  static std::string label(std::size_t token) { return "member" + std::to_string(token + 1); }

 private:
  const std::string pin_;
  const std::string soPin_;
  const TemporaryDirectory temporary_{"softhsm"};
  const std::filesystem::path folder_ = temporary_.path();
  std::vector<std::string> serials_;
};

}  // namespace p11ha::tests
