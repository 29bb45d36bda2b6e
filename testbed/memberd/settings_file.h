// The configuration file of p11ha-memberd: the grammar of Chrystoki.conf, sections and keys of its own.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "config/diagnostic.h"
#include "config/document.h"
#include "transport/server/settings.h"

namespace p11ha::testbed {

struct ReadSettings {
  transport::ServerSettings settings;
  std::vector<config::Diagnostic> findings;  // by line

  bool hasErrors() const;
};

/// What a document asks for. With an error among the findings, the settings are of no use. Pure; any thread.
ReadSettings readSettings(const config::Document& document);

/// The same from a file; a warning, too, where others may read a PIN in it.
ReadSettings loadSettings(const std::string& path);

/// The keys, for --help: "section, key, default, meaning", a line each.
std::string describeSettings();

}  // namespace p11ha::testbed
