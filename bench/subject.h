// What is measured: a module in an environment of its own.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "bench/token.h"

namespace p11ha::bench {

struct Subject {
  std::string name;
  Token::Spec token;
  std::vector<pid_t> servers;                      // processes that do its work, if others do
  std::map<std::string, std::string> environment;  // beside this process's own
};

/// `NAME module=PATH token=LABEL [pin=PIN] [server=PID ...] [VARIABLE=VALUE ...]`, words apart by blanks; a variable's
/// name begins with a capital. The PIN is that of the environment (P11HA_PIN) unless given. The error is ready to be
/// shown.
base::Result<Subject, std::string> parseSubject(const std::string& text);

}  // namespace p11ha::bench
