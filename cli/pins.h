// PINs for commands: from where the user says, else asked on the terminal.
#pragma once

#include <optional>
#include <string>

#include "cli/parse.h"
#include "cli/session.h"

namespace p11ha::cli {

/// What was given for `option`: `env:NAME` the variable's value, `fd:N` the first line of that descriptor, anything
/// else the PIN itself. nullopt: the option was not given, or is empty. Trouble names the source, never the PIN.
base::Result<std::optional<base::SecureBytes>, Trouble> givenPin(const Arguments& arguments, std::string_view option);

/// The same, or else asked for. Trouble, too, where there is no terminal, or nothing was entered.
base::Result<base::SecureBytes, Trouble> pinFor(Session& session, const Arguments& arguments, std::string_view option,
                                                const std::string& question = "Enter the password: ");

/// What is said of a PIN that a member did not take: the user's, or the Security Officer's.
Trouble refusedPin(const std::string& serial, CK_USER_TYPE user, CK_RV rv);

inline Option passwordOption() {
  return {"password", Value::Pin, "PIN", Need::Optional, "The user's PIN, env:NAME or fd:N; it is asked for otherwise"};
}
inline Option officerOption() {
  return {"sopassword", Value::Pin, "PIN", Need::Optional,
          "The Security Officer's, likewise: non-extractable keys are to be cloned, too"};
}

}  // namespace p11ha::cli
