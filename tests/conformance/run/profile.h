// What has to be known of a module to try it: a script makes tokens of it.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace p11ha::conformance {

struct Unavailable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Fresh tokens in a folder of their own. Made by `SCRIPT DIR COUNT`, which prints lines "key=value":
///
///   module, reserved     the library, and what its C_Initialize is given
///   pin, so-pin          of each token
///   environment          NAME=VALUE for whoever uses them; may be repeated
///   runner               a word of the command that starts whoever uses them (with the program behind it); repeated
///   label, serial        of each token, in the same order; slot likewise where serials are no use
///   client               a line of section "LunaSA Client" that a group is to be configured with; repeated
///   elsewhere            "all": a group is not to see the module itself
///   end                  a command that ends what was begun; may be repeated
///   state                a folder that holds all the tokens have in them; may be repeated
///
/// or ends with status 77, where this machine does not allow what they need.
///
/// Removes its folder at the end. One thread. Throws Unavailable then, and std::runtime_error when the tokens cannot be
/// made.
class Tokens {
 public:
  Tokens(const std::string& script, std::size_t count);
  ~Tokens();
  Tokens(const Tokens&) = delete;
  Tokens& operator=(const Tokens&) = delete;

  /// As they were when made. Nobody may be using them.
  void restore() const;

  const std::filesystem::path& folder() const { return folder_; }

  std::string module;
  std::string reserved;
  std::string pin;
  std::string soPin;
  std::vector<std::string> environment;
  std::vector<std::string> runner;
  std::vector<std::string> labels;
  std::vector<std::string> serials;
  std::vector<std::string> slots;
  std::vector<std::string> client;
  bool elsewhere = false;

 private:
  void take(const std::string& key, const std::string& value);
  std::filesystem::path copyOf(std::size_t state) const;

  std::filesystem::path folder_;
  std::vector<std::filesystem::path> states_;
  std::vector<std::string> ends_;
};

}  // namespace p11ha::conformance
