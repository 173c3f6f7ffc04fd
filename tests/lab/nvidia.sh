#!/bin/sh
# Stand-ins for what NVIDIA brings: nvidia-smi in the real one's format for one card, and a package of the container
# toolkit whose hook only records what the engine hands it on its standard input.
set -eu
card=GPU-5c3f1d7a-0f0e-4c1f-9a55-2f1f3a6f0b11
cat > /usr/bin/nvidia-smi << END
#!/bin/sh
case "\$1" in
  --query-gpu=*) echo "0, $card, NVIDIA GeForce RTX 5060 Ti, 580.95.05, 00000000:01:00.0, 16311, 350, 2, 15960, 12.0, [N/A]" ;;
  --query-compute-apps=*) ;;
  -L) echo "GPU 0: NVIDIA GeForce RTX 5060 Ti (UUID: $card)" ;;
  -q) printf '\\nDriver Version                            : 580.95.05\\nCUDA Version                              : 13.0\\n' ;;
  *) exit 2 ;;
esac
END
chmod 0755 /usr/bin/nvidia-smi

dpkg --purge nvidia-container-toolkit 2> /dev/null || true
package=$(mktemp -d)
mkdir -p "$package/DEBIAN" "$package/usr/bin" "$package/etc/nvidia-container-runtime"
cat > "$package/DEBIAN/control" << END
Package: nvidia-container-toolkit
Version: 1.17.8-1
Architecture: all
Maintainer: Hearth's lab <lab@hearth.invalid>
Description: stand-in for the lab
END
printf '#!/bin/sh\ncat > /var/tmp/hook-was-told.json\n' > "$package/usr/bin/nvidia-container-runtime-hook"
printf '#!/bin/sh\nexec runc "$@"\n' > "$package/usr/bin/nvidia-container-runtime"
printf '[nvidia-container-cli]\n#no-cgroups = false\n' > "$package/etc/nvidia-container-runtime/config.toml"
chmod 0755 "$package"/usr/bin/*
mkdir -p /srv/nvidia-archive
dpkg-deb --build --root-owner-group "$package" /srv/nvidia-archive/toolkit.deb
rm -r "$package"
cd /srv/nvidia-archive
size=$(stat -c %s toolkit.deb)
sum=$(sha256sum toolkit.deb | cut -d ' ' -f 1)
{ dpkg-deb -f toolkit.deb; printf 'Filename: ./toolkit.deb\nSize: %s\nSHA256: %s\n' "$size" "$sum"; } > Packages
echo 'deb [trusted=yes] file:/srv/nvidia-archive ./' > /etc/apt/sources.list.d/nvidia-stand-in.list
rm -f /var/tmp/hook-was-told.json
